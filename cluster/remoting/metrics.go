package remoting

import "github.com/prometheus/client_golang/prometheus"

// Metrics are what remoting counts. They are registered where they are made.
type Metrics struct {
	sent, received         [kinds]prometheus.Counter
	sentBytes, recvBytes   prometheus.Counter
	sentFrames, recvFrames prometheus.Counter
	undelivered, refused   *prometheus.CounterVec
	connections            *prometheus.CounterVec
	peers                  *prometheus.GaugeVec
	queued                 prometheus.Gauge
	reloads                *prometheus.CounterVec
	expiry                 prometheus.Gauge
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	messages := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_remoting_messages_total", Help: "Messages sent to other nodes and received from them, by kind.",
	}, []string{"direction", "kind"})
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_remoting_bytes_total", Help: "Bytes of the frames sent to other nodes and received from them.",
	}, []string{"direction"})
	frames := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_remoting_frames_total", Help: "Frames sent to other nodes and received from them.",
	}, []string{"direction"})
	m := &Metrics{
		undelivered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_remoting_undelivered_total", Help: "Messages to other nodes that were given up, by reason.",
		}, []string{"reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_remoting_refused_total", Help: "What came from other nodes, or from strangers, and was refused, by reason.",
		}, []string{"reason"}),
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_remoting_connections_total", Help: "Attempts to connect to other nodes, by what came of them.",
		}, []string{"outcome"}),
		peers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "holdfast_remoting_peers", Help: "Nodes that this one has a link to, by its state.",
		}, []string{"state"}),
		queued: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_remoting_queued", Help: "Messages that wait to be sent to other nodes.",
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_remoting_certificate_reloads_total", Help: "New certificates, keys and authorities that were read, by what came of it.",
		}, []string{"outcome"}),
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_remoting_certificate_expiry_seconds", Help: "When this node's certificate for other nodes expires, as Unix time.",
		}),
	}
	for k := range kinds {
		m.sent[k] = messages.WithLabelValues("sent", kindNames[k])
		m.received[k] = messages.WithLabelValues("received", kindNames[k])
	}
	m.sentBytes, m.recvBytes = bytes.WithLabelValues("sent"), bytes.WithLabelValues("received")
	m.sentFrames, m.recvFrames = frames.WithLabelValues("sent"), frames.WithLabelValues("received")
	for _, s := range []state{connecting, up, down} {
		m.peers.WithLabelValues(s.String())
	}
	reg.MustRegister(messages, bytes, frames, m.undelivered, m.refused, m.connections, m.peers, m.queued, m.reloads, m.expiry)
	return m
}
