package adapters_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/certificates/certificatetest"
)

// securedNode starts a node that knows adapters by their certificates.
func securedNode(t *testing.T, id string, files certificates.Files) *adaptertest.Node {
	t.Helper()
	s, err := certificates.NewServer(certificates.ServerConfig{Files: files, Protocols: []string{"h2"}, Refused: func(net.Addr, error) {}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return adaptertest.Start(t, adaptertest.Options{
		ID: id, Listener: s.Listener(l), ServerOptions: []grpc.ServerOption{grpc.Creds(s.Credentials())},
	})
}

func tlsOf(files certificates.Files) *adapters.TLS {
	return &adapters.TLS{CA: files.CA, Cert: files.Certificate, Key: files.Key}
}

// Connections to nodes that are announced are secured as those to nodes that are configured.
func TestTLS(t *testing.T) {
	t.Parallel()
	a := certificatetest.New(t)
	one := securedNode(t, "one", a.Files("127.0.0.1"))
	two := securedNode(t, "two", a.Files("127.0.0.1"))
	one.Announce(adaptertest.Topology(1, one, two))
	c := config(t)
	c.TLS = tlsOf(a.Files("adapter"))
	one.Run(newEcho(), c)
	for _, n := range []*adaptertest.Node{one, two} {
		if r := n.Do(within(t), "work", "x"); r.GetOutcome() != succeeded {
			t.Errorf("%v", r)
		}
	}
}

// All nodes may have one name.
func TestNameOfAllNodes(t *testing.T) {
	t.Parallel()
	a := certificatetest.New(t)
	one := securedNode(t, "one", a.Files("nodes.example"))
	c := config(t)
	c.TLS = tlsOf(a.Files("adapter"))
	c.TLS.ServerName = "nodes.example"
	one.Run(newEcho(), c)
	if r := one.Do(within(t), "work", "x"); r.GetOutcome() != succeeded {
		t.Errorf("%v", r)
	}
}

func TestMistakesInTLS(t *testing.T) {
	t.Parallel()
	files := certificatetest.New(t).Files("127.0.0.1")
	for want, secure := range map[string]adapters.TLS{
		"no such file":                   {CA: files.CA + "none"},
		"no certificate of an authority": {CA: files.Key},
		"both, or none":                  {Cert: files.Certificate},
		"certificate " + files.CA:        {Cert: files.CA, Key: files.CA},
		"no such file or":                {Cert: files.Certificate + "none", Key: files.Key},
	} {
		if err := newEcho().Run(t.Context(), adapters.Config{TLS: &secure}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", secure, err, want)
		}
	}
}

// lines is a log that a test can wait for.
type lines struct {
	mu    sync.Mutex
	text  bytes.Buffer
	fresh chan struct{} // cap 1
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.fresh <- struct{}{}:
	default:
	}
	return l.text.Write(b)
}

func (l *lines) await(t *testing.T, part string) {
	t.Helper()
	for ctx := within(t); ; {
		l.mu.Lock()
		found := strings.Contains(l.text.String(), part)
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-l.fresh:
		case <-ctx.Done():
			t.Fatalf("the log never says %q:\n%s", part, l.text.String())
		}
	}
}

// The log says what is wrong with a connection that does not come about.
func TestWhyThereIsNoConnectionIsLogged(t *testing.T) {
	t.Parallel()
	a := certificatetest.New(t)
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	secured, err := certificates.NewServer(certificates.ServerConfig{Files: a.Files("127.0.0.1"), Refused: func(net.Addr, error) {}})
	if err != nil {
		t.Fatal(err)
	}
	for want, tt := range map[string]struct {
		as     *adapters.TLS
		listen net.Listener
		serve  []grpc.ServerOption
	}{
		certificates.ErrNeedsTLS.Error(): {nil, secured.Listener(listen()), []grpc.ServerOption{grpc.Creds(secured.Credentials())}},
		certificates.ErrNoTLS.Error():    {tlsOf(a.Files("adapter")), listen(), nil},
		"certificate required": {
			&adapters.TLS{CA: a.Files("x").CA}, secured.Listener(listen()), []grpc.ServerOption{grpc.Creds(secured.Credentials())},
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			s, served := grpc.NewServer(tt.serve...), make(chan error, 1)
			go func() { served <- s.Serve(tt.listen) }()
			log, ended := &lines{fresh: make(chan struct{}, 1)}, make(chan error, 1)
			ctx, stop := context.WithCancel(t.Context())
			c := adapters.Config{Servers: []string{tt.listen.Addr().String()}, TLS: tt.as, Log: slog.New(slog.NewTextHandler(log, nil))}
			go func() { ended <- newEcho().Run(ctx, c) }()
			log.await(t, want)
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			s.Stop()
			if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				t.Error(err)
			}
		})
	}
}
