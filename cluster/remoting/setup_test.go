package remoting

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/certificates/certificatetest"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/remotingv1"
	"github.com/holdfast-run/holdfast/supervision"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(stockEnv) != "":
		stock()
	case os.Getenv(echoEnv) != "":
		runEcho()
	default:
		goleak.VerifyTestMain(m)
	}
}

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// authority signs certificates of nodes.
type authority struct{ *certificatetest.Authority }

func newAuthority(tb testing.TB) authority {
	tb.Helper()
	return authority{certificatetest.New(tb)}
}

// issue returns certificate and key of somebody with a name: a URI or a DNS name.
func (a authority) issue(name string) (cert, key []byte) { return a.Issue(nil, name) }

const allowedName = "spiffe://test.example/holdfast/*"

// files writes what somebody with a name proves it with, and returns where.
func (a authority) files(name string) *TLS {
	files := a.Files(name)
	return &TLS{
		Certificate: files.Certificate, Key: files.Key, CA: files.CA, Allow: []string{allowedName}, Poll: time.Hour,
	}
}

// rewrite writes them anew: a certificate of this authority, and trust in some.
func (a authority) rewrite(files *TLS, name string, trusted ...authority) {
	var all []*certificatetest.Authority
	for _, t := range trusted {
		all = append(all, t.Authority)
	}
	a.Rewrite(certificates.Files{Certificate: files.Certificate, Key: files.Key, CA: files.CA}, nil, all, name)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// record is a log that a test can wait for.
type record struct {
	slog.Handler

	mu    *sync.Mutex
	text  *bytes.Buffer
	fresh chan struct{}
}

func newRecord() *record {
	r := &record{mu: new(sync.Mutex), text: new(bytes.Buffer), fresh: make(chan struct{}, 1)}
	r.Handler = slog.NewTextHandler(r.text, nil)
	return r
}

func (r *record) Handle(ctx context.Context, x slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.fresh <- struct{}{}:
	default:
	}
	return r.Handler.Handle(ctx, x)
}

func (r *record) count(part string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.text.String(), part)
}

func (r *record) await(tb testing.TB, part string) {
	tb.Helper()
	for over := time.After(patience); r.count(part) == 0; {
		select {
		case <-r.fresh:
		case <-over:
			tb.Fatalf("the log never says %q:\n%s", part, r.text)
		}
	}
}

// holding is what a node has said of its partitions.
type holding struct {
	*remotingv1.Holdings

	from Node
}

// delivery is an envelope that came.
type delivery struct {
	*nodev1.Envelope

	from Node
}

// station is a node in a test.
type station struct {
	*Remoting

	t            testing.TB
	config       Config
	reg          *prometheus.Registry
	log          *record
	came         chan delivery
	answers      chan *nodev1.Answer
	lost         chan Node
	holds        chan holding
	instructions chan remotingv1.Instruction_What
	found        chan messages.Incarnation
	// on is what it does with what comes; nil: it goes to came.
	on func(from Node, e *nodev1.Envelope)

	mu    sync.Mutex
	dated time.Time
	// testified is how often it was asked for evidence.
	testified int
}

// newStation starts a node with the settings that change makes.
func newStation(tb testing.TB, name string, change func(*Config)) *station {
	tb.Helper()
	return startStation(tb, lasting(tb), name, change)
}

// lasting listens on a port that no system gives to outgoing connections: whoever gives it up can take it again.
func lasting(tb testing.TB) net.Listener {
	tb.Helper()
	for {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 15_000+rand.IntN(17_000)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		must(tb, err)
		return l
	}
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l := lasting(tb)
	must(tb, l.Close())
	return l.Addr().String()
}

func startStation(tb testing.TB, l net.Listener, name string, change func(*Config)) *station {
	tb.Helper()
	s := &station{
		t: tb, reg: prometheus.NewRegistry(), log: newRecord(), came: make(chan delivery, 1<<16), answers: make(chan *nodev1.Answer, 1<<16),
		lost: make(chan Node, 1<<10), holds: make(chan holding, 1<<10), instructions: make(chan remotingv1.Instruction_What, 1<<10),
		found: make(chan messages.Incarnation, 1<<10),
	}
	s.config = Config{
		Self: Node{l.Addr().String(), messages.NewIncarnation(messages.NodeID(name))}, Cluster: "test", Version: "v1.2.3", JournalLevel: 7,
		Again:   supervision.Backoff{Initial: time.Millisecond, Max: 10 * time.Millisecond},
		Silence: patience, ConnectWithin: patience, FlushWithin: patience, // the machine may be slow
	}
	change(&s.config)
	var err error
	s.Remoting, err = New(s.config, Deps{Witness: s, Metrics: NewMetrics(s.reg), Log: slog.New(s.log)})
	must(tb, err)
	must(tb, s.Start(l))
	s.receiver.Store(&receiver{s})
	tb.Cleanup(s.Stop)
	return s
}

func plaintext(c *Config) { c.Plaintext = true }

// secured has nodes prove who they are by an authority.
func secured(a authority) func(*Config) {
	return func(c *Config) { c.TLS = a.files("spiffe://test.example/holdfast/node") }
}

func (s *station) node() Node { return s.config.Self }

func (s *station) Deliver(from Node, e *nodev1.Envelope) {
	if s.on != nil {
		s.on(from, e)
		return
	}
	s.came <- delivery{e, from}
}

func (s *station) Receive(a *nodev1.Answer) { s.answers <- a }

func (s *station) Holds(from Node, h *remotingv1.Holdings) { s.holds <- holding{h, from} }

func (s *station) Instructed(i *remotingv1.Instruction) { s.instructions <- i.GetWhat() }

func (s *station) Found(who messages.Incarnation) { s.found <- who }

func (s *station) Lost(n Node) {
	select {
	case s.lost <- n:
	default:
	}
}

func (s *station) Evidence() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.testified++
	return s.dated, !s.dated.IsZero()
}

func (s *station) Watermarks() []*remotingv1.Watermarks {
	return []*remotingv1.Watermarks{{Incarnation: string(s.node().Incarnation)}}
}

// ask sends an ask.
func (s *station) ask(to Node, number uint64) {
	s.Send(to, &nodev1.Envelope{
		Partition: 17, OrderId: "order", Ask: number, Asker: s.node().String(), Message: &nodev1.Envelope_Start{Start: &nodev1.Start{}},
	})
}

// next awaits something from a channel.
func next[T any](tb testing.TB, c <-chan T) T {
	tb.Helper()
	select {
	case x := <-c:
		return x
	case <-time.After(patience):
		var x T
		tb.Fatalf("there never came a %T", x)
		return x
	}
}

// metric returns the sum of the counters or gauges of a name that have a label with a value; with an empty value: of all.
func (s *station) metric(name, value string) (sum float64) {
	s.t.Helper()
	families, err := s.reg.Gather()
	must(s.t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			fits := value == ""
			for _, l := range m.GetLabel() {
				fits = fits || l.GetValue() == value
			}
			if fits {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

const refusedMetric, undeliveredMetric = "holdfast_remoting_refused_total", "holdfast_remoting_undelivered_total"
