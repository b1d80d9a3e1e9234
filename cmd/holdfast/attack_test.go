package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/holdfast-run/holdfast/certificates/certificatetest"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/attack"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// patience is how long a test waits for what should happen within seconds.
const patience = time.Minute

// attacked is a node, in a process of its own, whose clients do what they like.
type attacked struct {
	t *testing.T
	// listeners are its two, by their names in metrics.
	listeners map[string]string
	tls       *tls.Config // nil: it speaks plain text
}

// attackedNodes calls a test for a node without TLS, and for one with it.
func attackedNodes(t *testing.T, test func(n *attacked), args ...string) {
	t.Helper()
	for _, secured := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "TLS"}[secured], func(t *testing.T) {
			t.Parallel()
			n := &attacked{t: t, listeners: map[string]string{"public": freeAddress(t), "admin": freeAddress(t)}}
			all := append([]string{"node", "--data", t.TempDir(), "--listen", n.listeners["public"], "--admin-listen", n.listeners["admin"]}, args...)
			if secured {
				own := certificatetest.New(t).Files("127.0.0.1")
				pair, err := tls.LoadX509KeyPair(own.Certificate, own.Key)
				if err != nil {
					t.Fatal(err)
				}
				authority, err := os.ReadFile(own.CA)
				if err != nil {
					t.Fatal(err)
				}
				n.tls = &tls.Config{
					RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
				}
				n.tls.RootCAs.AppendCertsFromPEM(authority)
				for _, prefix := range []string{"--", "--admin-"} {
					all = append(all, prefix+"tls-cert", own.Certificate, prefix+"tls-key", own.Key)
				}
			}
			_, log := startProcess(t, []string{childVariable + "=real"}, all...)
			log.await(t, "node is up", 1)
			test(n)
		})
	}
}

// dial connects, and does no more than that.
func (n *attacked) dial(address string) net.Conn {
	n.t.Helper()
	c, err := (&net.Dialer{}).DialContext(n.t.Context(), "tcp", address)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		n.t.Fatal(err)
	}
	return c
}

// client is a client as it should be.
func (n *attacked) client(address string) *grpc.ClientConn {
	n.t.Helper()
	with := insecure.NewCredentials()
	if n.tls != nil {
		with = credentials.NewTLS(n.tls.Clone())
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(with))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// answers checks that a listener answers somebody who has just come.
func (n *attacked) answers(address string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	if _, err := grpc_health_v1.NewHealthClient(n.client(address)).Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil {
		n.t.Errorf("%s: %v", address, err)
	}
}

// metrics are what the node counts.
func (n *attacked) metrics() string {
	n.t.Helper()
	client, scheme := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"
	if n.tls != nil {
		of := n.tls.Clone()
		of.NextProtos = nil
		client.Transport, scheme = &http.Transport{DisableKeepAlives: true, TLSClientConfig: of}, "https://"
	}
	answer, err := client.Get(scheme + n.listeners["admin"] + "/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(text)
}

// refused is how many connections of a listener were closed for a reason.
func (n *attacked) refused(listener, reason string) int {
	n.t.Helper()
	return int(n.metric(fmt.Sprintf("holdfast_connections_refused_total{listener=%q,reason=%q}", listener, reason)))
}

// metric is what the node tells of a series.
func (n *attacked) metric(series string) float64 {
	n.t.Helper()
	value, err := stage.Metrics(n.metrics()).Value(series)
	if err != nil {
		n.t.Fatal(err)
	}
	return value
}

// attacker is a connection whose client sends what frames it likes.
func (n *attacked) attacker(address string) *attack.Frames {
	n.t.Helper()
	conn := n.dial(address)
	if n.tls != nil {
		with := n.tls.Clone()
		with.ServerName = "127.0.0.1"
		conn = tls.Client(conn, with)
	}
	a, err := attack.NewFrames(conn)
	if err != nil {
		n.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Read()
	}()
	n.t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return a
}

// Frames that carry nothing, without end, are read slower, and then not at all; whoever comes meanwhile is served.
func TestFloodsAreEnded(t *testing.T) {
	t.Parallel()
	floods := attack.FrameFloods()
	attackedNodes(t, func(n *attacked) {
		t := n.t
		for listener, address := range n.listeners {
			type ended struct{ name, why string }
			all := make(chan ended, len(floods))
			for name, flood := range floods {
				a := n.attacker(address)
				go func() {
					for ended := false; !ended; {
						ended = flood(a) != nil
					}
					all <- ended{name, <-a.Ended}
				}()
			}
			for range floods {
				n.answers(address)
				if got := <-all; got.why == attack.NotClosed {
					t.Errorf("%s, %s: %s", listener, got.name, got.why)
				}
			}
			if got := n.refused(listener, "idle_frames"); got < len(floods)/2 {
				t.Errorf("%s: %d connections were closed because of idle frames", listener, got)
			}
		}
	}, "--idle-frames", "100")
}

// A flood is told why it is ended.
func TestFloodIsToldWhy(t *testing.T) {
	t.Parallel()
	attackedNodes(t, func(n *attacked) {
		t := n.t
		for listener, address := range n.listeners {
			a := n.attacker(address)
			for range 2000 {
				if a.WriteWindowUpdate(0, 1) != nil {
					break
				}
			}
			if why := <-a.Ended; why != "ENHANCE_YOUR_CALM closed by the node: idle_frames" {
				t.Errorf("%s: %q", listener, why)
			}
		}
	}, "--idle-frames", "50")
}

// Connections on which nothing comes, or a handshake that does not end, or a preface and nothing more, end for others, and by themselves.
func TestHalfOpenConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	attackedNodes(t, func(n *attacked) {
		t := n.t
		address := n.listeners["public"]
		begin := map[string]string{"nothing": "", "half of the preface": http2.ClientPreface[:10], "no settings": http2.ClientPreface}
		if n.tls != nil {
			begin = map[string]string{"nothing": "", "half a handshake": "\x16\x03\x01\x02\x00\x01\x00"}
		}
		for name, text := range begin {
			var all []net.Conn
			for range 20 {
				c := n.dial(address)
				if _, err := io.WriteString(c, text); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				all = append(all, c)
			}
			n.answers(address)
			for i, c := range all {
				if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s: connection %d is open still", name, i)
				}
			}
		}
		if n.refused("public", "slow_to_open") < 10 {
			t.Error("connections were not closed to make room")
		}
	}, "--max-opening", "10", "--max-connections", "30")
}

// A call whose request does not end is ended by the node. One whose request has come may take longer.
func TestRequestsEndInTime(t *testing.T) {
	t.Parallel()
	attackedNodes(t, func(n *attacked) {
		t := n.t
		for listener, address := range n.listeners {
			watch, err := grpc_health_v1.NewHealthClient(n.client(address)).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
			if err == nil {
				_, err = watch.Recv()
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, body := range map[string][]byte{"nothing": nil, "half a message": attack.Message(100, 50), "no end": attack.Message(0, 0)} {
				method := orderv1.OrderService_Watch_FullMethodName
				if name != "no end" {
					method = attack.CallMethod
				}
				a := n.attacker(address)
				id, err := a.Call(method, http2.FlagHeadersEndHeaders)
				if err == nil && body != nil {
					err = a.WriteData(id, false, body)
				}
				if err != nil {
					t.Fatal(err)
				}
				select {
				case status := <-a.Status:
					if status == "0" {
						t.Errorf("%s, %s: the call succeeds", listener, name)
					}
				case why := <-a.Ended:
					t.Errorf("%s, %s: %s", listener, name, why)
				}
			}
			ended := make(chan error, 1)
			go func() {
				_, err := watch.Recv()
				ended <- err
			}()
			select {
			case err := <-ended:
				t.Errorf("%s: a watch whose request has come ends: %v", listener, err)
			default:
			}
			n.answers(address)
		}
	}, "--request-within", "1s")
}

// Parts of messages take no more memory than they may: whoever keeps some unread for longest is closed, and others get through.
func TestPartsOfMessagesAreBounded(t *testing.T) {
	t.Parallel()
	attackedNodes(t, func(n *attacked) {
		t := n.t
		for listener, address := range n.listeners {
			var all []*attack.Frames
			for range 20 {
				a := n.attacker(address)
				all = append(all, a)
				id, err := a.Call(attack.CallMethod, http2.FlagHeadersEndHeaders)
				if err == nil {
					err = a.WriteData(id, false, attack.Message(1<<20, 16_000))
				}
				for range 3 {
					if err == nil {
						err = a.WriteData(id, false, make([]byte, 16_000))
					}
				}
				if err != nil { // it may have been closed at once
					break
				}
				for len(all) == 1 && n.metric(fmt.Sprintf("holdfast_unread_bytes{listener=%q}", listener)) == 0 {
					runtime.Gosched() // the first one is to be the first whose parts come
				}
			}
			why := <-all[0].Ended
			if !strings.HasSuffix(why, "unread") {
				t.Errorf("%s: the first one ends with %q", listener, why)
			}
			if n.refused(listener, "unread") == 0 {
				t.Errorf("%s: nobody was closed", listener)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			document := "document: {dsl: '1.0.3', namespace: t, name: d, version: '1.0.0'}\ndo: [{a: {set: {x: 1}}}] #" + strings.Repeat("x", 100_000)
			_, err := definitionv1.NewDefinitionServiceClient(n.client(address)).Validate(ctx,
				&definitionv1.ValidateRequest{Document: []byte(document)})
			cancel()
			if err != nil {
				t.Errorf("%s: somebody else: %v", listener, err)
			}
		}
	}, "--unread", "800KiB")
}

// Where gRPC is served over HTTP, as the administration does, what comes after the request is not kept.
func TestNothingIsReadAhead(t *testing.T) {
	t.Parallel()
	attackedNodes(t, func(n *attacked) {
		t := n.t
		for listener, address := range n.listeners {
			a := n.attacker(address)
			id, err := a.Call(grpc_health_v1.Health_Watch_FullMethodName, http2.FlagHeadersEndHeaders)
			if err == nil {
				err = a.WriteData(id, false, attack.Message(0, 0))
			}
			sent := 0
			for ; err == nil && sent < 1000 && len(a.Status) == 0; sent++ {
				err = a.WriteData(id, false, make([]byte, 1000))
			}
			if status := <-a.Status; status == "0" {
				t.Errorf("%s: a call with %d pieces of requests succeeds", listener, sent)
			}
			n.answers(address)
		}
	}, "--request-within", "2s")
}
