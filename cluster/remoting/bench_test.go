package remoting

import (
	"sync/atomic"
	"testing"

	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// Run with: go test -run '^$' -bench . -benchtime 3s ./cluster/remoting

func pair(b *testing.B, how func(*Config)) (one, two *station) {
	b.Helper()
	one, two = newStation(b, "one", how), newStation(b, "two", how)
	must(b, one.Peers(two.node()))
	must(b, two.Peers(one.node()))
	one.ask(two.node(), 1)
	next(b, two.came)
	two.ask(one.node(), 1)
	next(b, one.came)
	return one, two
}

// wires are the kinds of connections that are measured.
var wires = map[string]func(*testing.B) func(*Config){
	"tls":       func(b *testing.B) func(*Config) { b.Helper(); return secured(newAuthority(b)) },
	"plaintext": func(*testing.B) func(*Config) { return plaintext },
}

// BenchmarkOneWay sends messages without an answer, as fast as the queue has room.
func BenchmarkOneWay(b *testing.B) {
	for name, wire := range wires {
		b.Run(name, func(b *testing.B) {
			one, two := pair(b, wire(b))
			var came atomic.Int64
			room, done := make(chan struct{}, 6), make(chan struct{}) // so many thousands fit into the queue
			two.on = func(Node, *nodev1.Envelope) {
				n := came.Add(1)
				if n%1024 == 0 {
					<-room
				}
				if n == int64(b.N) {
					close(done)
				}
			}
			e := &nodev1.Envelope{Partition: 3, OrderId: "0193f2f0-1111-7000-8000-000000000000", Message: &nodev1.Envelope_Start{Start: &nodev1.Start{}}}
			to := two.node()
			b.ResetTimer()
			for n := range b.N {
				if (n+1)%1024 == 0 {
					room <- struct{}{}
				}
				one.Send(to, e)
			}
			next(b, done)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkAsks has so many asks in flight, each answered by the other node.
func BenchmarkAsks(b *testing.B) {
	for name, wire := range wires {
		b.Run(name, func(b *testing.B) {
			one, two := pair(b, wire(b))
			two.on = func(_ Node, e *nodev1.Envelope) {
				two.Answer(e.GetAsker(), &nodev1.Answer{Ask: e.GetAsk()})
			}
			b.ResetTimer()
			for n := range b.N {
				if n >= 128 {
					if a := <-one.answers; a.GetFailure() != nil {
						b.Fatal(a)
					}
				}
				one.ask(two.node(), uint64(n+1))
			}
			for range min(b.N, 128) {
				<-one.answers
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "asks/s")
		})
	}
}
