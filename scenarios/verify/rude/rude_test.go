package rude_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/scenarios/verify/rude"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// visit sends a server requests on a connection of its own, and returns all that it says until it hangs up.
func visit(t *testing.T, s *rude.Server, requests ...string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it was only read
	_, _ = io.WriteString(conn, strings.Join(requests, ""))
	text, _ := io.ReadAll(bufio.NewReader(conn))
	return string(text)
}

// TestManners: a server behaves as it is told, and counts what comes.
func TestManners(t *testing.T) {
	t.Parallel()
	const get, post = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
	for name, c := range map[string]struct {
		manner   rude.Manner
		want     []string // of one connection after the other
		requests int
	}{
		"says":   {rude.Says("hello"), []string{"hello", "hello"}, 2},
		"unread": {rude.ResetsUnread, []string{""}, 1},
		"resets": {rude.Resets(), []string{""}, 1},
		"pours":  {rude.Pours("a", "bc", 4, "d"), []string{"abcbcd"}, 1},
		"turns":  {rude.Turns("a", "b"), []string{"a", "b", "b"}, 3},
		"paths":  {rude.Paths(map[string]string{"/a": "a", "": "none"}), []string{"a", "none"}, 2},
		"answer": {
			rude.Says(rude.Answer("200 OK", "abc", "X: y")),
			[]string{"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"},
			1,
		},
	} {
		s, err := rude.Serve(t.Context(), "127.0.0.1", c.manner)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			if got := visit(t, s, []string{get, post}[i%2]); got != want {
				t.Errorf("%s: it says %q, want %q", name, got, want)
			}
		}
		s.Close()
		if came := len(s.Requests()); came != c.requests || s.Connections() != len(c.want) {
			t.Errorf("%s: %d requests came on %d connections, want %d on %d", name, came, s.Connections(), c.requests, len(c.want))
		}
	}
}

// TestClose: a server that is closed ends what it has with clients that wait.
func TestClose(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]rude.Manner{
		"hangs": rude.Hangs("a"), "drips": rude.Drips("a", "b"), "unread": rude.HangsUnread, "endless": rude.Pours("", "a", 1<<60, ""),
	} {
		s, err := rude.Serve(t.Context(), "127.0.0.1", m)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if name != "unread" {
			_, _ = conn.Read(make([]byte, 1))
		}
		s.Close()
		_ = conn.Close()
	}
}

// TestAuthority: a certificate is of an authority, and good as long as it should be; and a bomb is as large as it says.
func TestAuthority(t *testing.T) {
	t.Parallel()
	a, err := rude.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	if config, err := a.Of("127.0.0.1", time.Hour); err != nil || len(config.Certificates) != 1 {
		t.Errorf("%v: %v", config, err)
	}
	text, err := rude.Bomb(2)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); n != 32<<20 || err != nil || len(text) > 1<<20 {
		t.Errorf("%d bytes become %d: %v", len(text), n, err)
	}
}
