package main

import (
	"log"
	"log/slog"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/actors/access"
)

// provenOnly leaves to a handler what operators ask who have shown a certificate, if they have to have one. With --access,
// their roles say who may ask, whatever they have shown. How the node is may be asked
// by anybody: whoever watches over processes has no certificate as a rule.
func (n *node) provenOnly(next http.Handler) http.Handler {
	if n.administration == nil || n.config.AdminTLS.CA == "" || n.access != nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.VerifiedChains) > 0 || r.URL.Path == access.Livez || r.URL.Path == access.Readyz {
			next.ServeHTTP(w, r)
			return
		}
		n.administration.refuse(remoteAddr(r.RemoteAddr), errNoCertificate)
		if !isGRPC(r) {
			http.Error(w, errNoCertificate.Error(), http.StatusForbidden)
			return
		}
		refuseCall(w, codes.Unauthenticated, errNoCertificate)
	})
}

// remoteAddr is the address of a client, as text.
type remoteAddr string

func (remoteAddr) Network() string  { return "tcp" }
func (a remoteAddr) String() string { return string(a) }

// errorLog is where a server of HTTP logs what goes wrong.
func errorLog(to *slog.Logger, of string) *log.Logger {
	return log.New(&serverLog{log: to, of: of}, "", 0)
}

// serverLog has the log of a server of HTTP: what clients did wrong, as a rule.
type serverLog struct {
	log  *slog.Logger
	of   string
	told seldom
}

// Write implements io.Writer.
func (l *serverLog) Write(line []byte) (int, error) {
	if untold, yes := l.told.tells(); yes {
		l.log.Warn("a server of HTTP says", "of", l.of, "error", strings.TrimSpace(string(line)), "untold_before", untold)
	}
	return len(line), nil
}
