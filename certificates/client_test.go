package certificates_test

import (
	"crypto/tls"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/certificates/certificatetest"
)

// A client takes new certificates when it connects, looks for them now and then, and goes on with those before if the new ones are bad.
func TestClientTakesNewCertificates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := certificatetest.New(t)
		node, own := a.Files("node.example"), a.Files("client")
		pair, err := tls.LoadX509KeyPair(node.Certificate, node.Key)
		must(t, err)
		var bad []error
		with, err := certificates.Client{
			CA: own.CA, Certificate: own.Certificate, Key: own.Key, Bad: func(err error) { bad = append(bad, err) },
		}.Credentials()
		must(t, err)
		// shown connects, and returns the number of the certificate that the node was shown.
		shown := func() string {
			t.Helper()
			here, there := net.Pipe()
			served := make(chan string, 1)
			go func() {
				s := tls.Server(there, &tls.Config{
					Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"h2"},
					MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
				})
				if err := s.Handshake(); err != nil {
					served <- err.Error()
					return
				}
				served <- s.ConnectionState().PeerCertificates[0].SerialNumber.String()
			}()
			_, _, err := with.ClientHandshake(t.Context(), "node.example:1", here)
			must(t, err)
			return <-served
		}
		first := shown()
		a.Rewrite(own, nil, []*certificatetest.Authority{a}, "client")
		if got := shown(); got != first {
			t.Error("the files are looked at for each connection")
		}
		time.Sleep(certificates.Poll)
		second := shown()
		if second == first {
			t.Error("the new certificate is not shown")
		}
		certificatetest.Write(t, own.Key, nil)
		for range 2 {
			time.Sleep(certificates.Poll)
			if got := shown(); got != second {
				t.Errorf("the node was shown %s, want %s", got, second)
			}
		}
		if len(bad) != 1 {
			t.Errorf("that files are bad was told as %v", bad)
		}
	})
}
