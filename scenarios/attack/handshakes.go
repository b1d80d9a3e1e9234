package attack

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"time"
)

// What clients do to listeners with TLS.
const (
	// Handshakes begins five hundred handshakes a second, and leaves when the node has computed its part.
	Handshakes = "handshakes"
	// HalfHandshakes sends a part of the first message of a handshake, and no more.
	HalfHandshakes = "half_handshakes"
)

// firstMessage is what a client of TLS says first. It may be said as often as one likes, and costs nothing then.
func firstMessage(ctx context.Context) []byte {
	client, node := net.Pipe()
	said := make(chan []byte, 1)
	go func() {
		b := make([]byte, 16<<10)
		n, _ := node.Read(b)
		said <- b[:n]
		_ = node.Close()
	}()
	config := &tls.Config{ServerName: "node", NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13}
	_ = tls.Client(client, config).HandshakeContext(ctx) // nobody answers
	_ = client.Close()
	return <-said
}

func handshakes(ctx context.Context, a *assault) {
	first := firstMessage(ctx)
	at := a.listeners()
	n := 0
	often(ctx, 500, func() {
		n++
		conn, closed, err := dial(ctx, at[n%len(at)])
		if err != nil {
			return
		}
		defer closed()
		_ = conn.SetDeadline(time.Now().Add(time.Second)) // it fails only if it is closed
		if _, err = conn.Write(first); err == nil {
			_, err = io.ReadFull(conn, make([]byte, 100))
		}
		if err != nil {
			a.refuse("closed")
			return
		}
		a.did.Add(1)
	})
}

func halfHandshakes(ctx context.Context, a *assault) {
	first := string(firstMessage(ctx))
	a.hold(ctx, "", first[:5], first[:len(first)/2])
}
