package main

import (
	"log"
	"net"
	"net/http"
	"strings"

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
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "16") // UNAUTHENTICATED
		w.Header().Set("Grpc-Message", errNoCertificate.Error())
		w.WriteHeader(http.StatusOK)
	})
}

// remoteAddr is the address of a client, as text.
type remoteAddr string

func (remoteAddr) Network() string  { return "tcp" }
func (a remoteAddr) String() string { return string(a) }

// serverLog is what a server of HTTP logs: connections that were refused, as a rule.
func (s *secured) serverLog() *log.Logger { return log.New(refusals{s}, "", 0) }

type refusals struct{ s *secured }

// Write implements io.Writer.
func (r refusals) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	why, refused := strings.CutPrefix(text, "http: TLS handshake error from ")
	if !refused {
		r.s.log.Warn("the server of the administration says", "error", text)
		return len(line), nil
	}
	from, why, _ := strings.Cut(why, ": ")
	if why != "EOF" { // a check whether anybody listens
		r.s.refuse(remoteAddr(from), handshakeError(why))
	}
	return len(line), nil
}

type handshakeError string

func (e handshakeError) Error() string { return string(e) }

// secureAdmin has a server of the administration be secured, if it is to be, and returns its listener.
func (n *node) secureAdmin(srv *http.Server, l net.Listener) net.Listener {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	srv.Protocols = &protocols
	if n.administration == nil {
		protocols.SetUnencryptedHTTP2(true) // gRPC
		return l
	}
	protocols.SetHTTP2(true) // the same
	srv.TLSConfig, srv.ErrorLog = n.administration.Config(), n.administration.serverLog()
	return n.administration.Listener(l)
}
