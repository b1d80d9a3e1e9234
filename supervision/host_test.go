package supervision_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/holdfast-run/holdfast/supervision"
)

func TestHostIsCheckedOnLoopback(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listen string
		at     net.IP
		host   string
		status int
	}{
		{"127.0.0.1:7461", net.IPv4(127, 0, 0, 1), "127.0.0.1:7461", 200},
		{"127.0.0.1:7461", net.IPv4(127, 0, 0, 1), "localhost:7461", 200},
		{"127.0.0.1:7461", net.IPv4(127, 0, 0, 1), "LocalHost", 200},
		{"127.0.0.1:7461", net.IPv4(127, 0, 0, 1), "[::1]:9", 200},
		{"[::1]:7461", net.IPv6loopback, "[::1]:7461", 200},
		{"[::1]:7461", net.IPv6loopback, "[::1]", 200},
		{"node.internal:7461", net.IPv4(127, 0, 0, 1), "node.internal:7461", 200},
		{"127.0.0.1:7461", net.IPv4(127, 0, 0, 1), "node.internal:7461", 421},
		{"127.0.0.1:7461", net.IPv4(127, 0, 0, 1), "evil.example:7461", 421},
		{"127.0.0.1:7461", net.IPv4(127, 0, 0, 1), "127.0.0.1.evil.example", 421},
		{"127.0.0.1:7461", net.IPv4(127, 0, 0, 1), "192.0.2.1:7461", 421},
		{"127.0.0.1:7461", net.IPv4(127, 0, 0, 1), "", 421},
		{":7461", net.IPv4zero, "evil.example:7461", 200},
		{"192.0.2.1:7461", net.IPv4(192, 0, 2, 1), "node.example:7461", 200},
	} {
		handler := supervision.CheckHost(&net.TCPAddr{IP: c.at, Port: 7461}, c.listen,
			http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
		r.Host = c.host
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != c.status {
			t.Errorf("at %s, for %q: %d %s, want %d", c.listen, c.host, w.Code, w.Body, c.status)
		}
	}
}
