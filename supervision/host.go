package supervision

import (
	"fmt"
	"net"
	"net/http"
	"strings"
)

// CheckHost serves pages that are meant for this machine alone to those who ask for this machine. A page in a browser may
// have a name of its own that leads to a loopback address (DNS rebinding), and could read them otherwise. So on a loopback
// address requests must be for localhost, for a loopback address, or for the name that was given to listen at. On any other
// address nothing is checked: names that lead there are not known here, and whoever may connect may read.
func CheckHost(at net.Addr, listen string, next http.Handler) http.Handler {
	if tcp, ok := at.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return next
	}
	own := hostname(listen)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostname(r.Host); !local(host) && !strings.EqualFold(host, own) {
			http.Error(w, fmt.Sprintf("%q is no name of this machine here: ask for %s or localhost", host, at), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostname is the host of host:port, or of a host alone.
func hostname(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		return host
	}
	return strings.Trim(s, "[]")
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}
