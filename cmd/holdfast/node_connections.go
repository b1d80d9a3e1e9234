package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/connections"
)

// bounded are the bounds of the connections to a node's listeners.
type bounded struct{ public, admin *connections.Bounds }

// connectionTakes is about how much processor time a connection takes that is served, and handshakeTakes what TLS adds.
const connectionTakes, handshakeTakes = 250 * time.Microsecond, 750 * time.Microsecond

// adminFree is how many connections of an address to the administration begin in a second without a turn: those of who looks after the
// node don't wait for anybody's.
const adminFree = 20

// begin has a client wait for its turn to have a connection.
func (n *node) begin(ctx context.Context, client string, secured bool) error {
	takes := connectionTakes
	if secured {
		takes += handshakeTakes
	}
	return n.gateway.Begin(ctx, client, takes)
}

// boundConnections makes the bounds of both listeners. most is how many connections the public one may have.
func (n *node) boundConnections(most int) bounded {
	limits := n.config.Gateway
	limits.Connections = most
	limits = limits.WithDefaults()
	ended := refusedMetric(n.registry)
	bound := func(word string, c connections.Config) *connections.Bounds {
		tells := newRefusedConnections(word, ended, n.log)
		c.Ended, c.Idle, c.Window, c.Streams = tells.ended, limits.IdleFrames, limits.ReceiveWindow, limits.Streams
		b := connections.New(c)
		labels := prometheus.Labels{"listener": word}
		n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "holdfast_calls", Help: "Calls and streams that are under way.", ConstLabels: labels,
		}, func() float64 { return float64(b.Calls()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "holdfast_unread_bytes", Help: "Bytes that were received and can't be read yet.", ConstLabels: labels,
		}, func() float64 { return float64(b.Unread()) }))
		return b
	}
	return bounded{
		public: bound("public", connections.Config{
			Most: most, ByAddress: limits.AddressConnections, Opening: limits.Opening, Unread: limits.Unread,
			Calls: limits.Calls, AddressCalls: limits.AddressCalls,
			Turn: func(ctx context.Context, from netip.Addr) error { return n.begin(ctx, from.String(), n.public != nil) },
		}),
		admin: bound("admin", connections.Config{
			Most: limits.AdminConnections, ByAddress: max(1, limits.AdminConnections/2), Opening: limits.AdminConnections,
			Unread: max(1, limits.Unread/4), Calls: limits.Streams, Free: adminFree,
			Turn: func(ctx context.Context, from netip.Addr) error {
				if n.admin.Load() == nil || connections.Local(from) {
					return nil // the node starts, and has no gateway yet; or it is somebody on this host
				}
				return n.begin(ctx, from.String()+" at the administration", n.administration != nil)
			},
		}),
	}
}

// listenPublic has the connections to the public address bounded and, if they are to be, secured.
func (n *node) listenPublic(l net.Listener) net.Listener {
	l = gateway.Listener{Listener: n.bounds.public.Listener(l)}
	if n.public != nil {
		l = n.public.Listener(l)
	}
	return l
}

// publicCredentials is what gRPC needs for the connections of listenPublic.
func (n *node) publicCredentials() credentials.TransportCredentials {
	if n.public != nil {
		return n.bounds.public.Credentials(n.public.Credentials())
	}
	return n.bounds.public.Credentials(insecure.NewCredentials())
}

// listenAdmin does the same for a server of the administration.
func (n *node) listenAdmin(srv *http.Server, l net.Listener) net.Listener {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC; TLS, if there is, lies beneath
	srv.Protocols = &protocols
	l = n.bounds.admin.Listener(l)
	if n.administration != nil {
		certificates.InRequests(srv)
		l = n.administration.Secured(n.administration.Listener(l))
	}
	return n.bounds.admin.Metered(l)
}

// refusedConnections counts connections that were refused, and tells of them, now and then.
type refusedConnections struct {
	log    *slog.Logger
	counts map[connections.Reason]prometheus.Counter

	told map[connections.Reason]*seldom
}

// refusedMetric counts them, by listener and reason.
func refusedMetric(registry *prometheus.Registry) *prometheus.CounterVec {
	ended := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_connections_refused_total",
		Help: "Connections that were closed at once, or later, because they would have cost the process too much.",
	}, []string{"listener", "reason"})
	registry.MustRegister(ended)
	return ended
}

// newRefusedConnections counts those of a listener, which has the word in the metric and the log.
func newRefusedConnections(word string, metric *prometheus.CounterVec, log *slog.Logger) *refusedConnections {
	r := &refusedConnections{
		log: log.With("listener", word), counts: map[connections.Reason]prometheus.Counter{}, told: map[connections.Reason]*seldom{},
	}
	for _, why := range connections.Reasons() {
		r.told[why] = &seldom{}
		r.counts[why] = metric.WithLabelValues(word, string(why))
	}
	return r
}

func (r *refusedConnections) ended(from net.Addr, why connections.Reason) {
	r.counts[why].Inc()
	if untold, yes := r.told[why].tells(); yes {
		r.log.Warn("connection was closed, as it cost too much", "from", from.String(), "reason", string(why), "untold_before", untold)
	}
}

// tellRefusals is how often the log tells of connections that were refused.
const tellRefusals = 10 * time.Second

// seldom tells when something is to be told of that may happen very often.
type seldom struct {
	mu     sync.Mutex
	told   time.Time
	untold int
}

// tells counts one more time, and says whether to tell of it, and how many times were not told before.
func (s *seldom) tells() (untold int, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.told) < tellRefusals {
		s.untold++
		return 0, false
	}
	untold = s.untold
	s.told, s.untold = now, 0
	return untold, true
}
