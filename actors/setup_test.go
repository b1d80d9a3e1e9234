package actors_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/cluster"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/pebble"
	"github.com/holdfast-run/holdfast/supervision"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settle returns when nobody has anything to do before the clock moves. Tests run in bubbles of synctest: their clock leaps when
// everybody waits.
func settle() { synctest.Wait() }

// node is an engine on a journal of its own.
type node struct {
	*actors.Engine

	t        *testing.T
	settings settings
	journal  *pebble.Journal
	// seen is the journal as the engine sees it.
	seen    persistence.Journal
	metrics *prometheus.Registry
	dog     *supervision.Watchdog
	// broken is what ended the process.
	broken  chan error
	stop    func()
	crashed atomic.Bool
}

type settings struct {
	engine actors.Config
	pebble pebble.Config
	disk   *vfs.MemFS // if it is in memory
	wrap   func(persistence.Journal) persistence.Journal
	log    io.Writer
	level  slog.Level
}

type option func(*settings)

func withEngine(c actors.Config) option { return func(s *settings) { s.engine = c } }

func withWrap(wrap func(persistence.Journal) persistence.Journal) option {
	return func(s *settings) { s.wrap = wrap }
}

// start opens a journal in a new folder, and starts an engine on it.
func start(t *testing.T, opts ...option) *node {
	t.Helper()
	s := settings{pebble: pebble.Config{Dir: t.TempDir(), MemTableBytes: 1 << 20, CacheBytes: 1 << 20, LowWaterBytes: -1}}
	for _, o := range opts {
		o(&s)
	}
	return s.start(t)
}

func (s settings) start(t *testing.T) *node {
	t.Helper()
	var out io.Writer = testLog{t}
	if s.log != nil {
		out = s.log
	}
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: s.level}))
	n := &node{
		t: t, settings: s, metrics: prometheus.NewRegistry(), dog: supervision.NewWatchdog(time.Now, log), broken: make(chan error, 1),
	}
	metrics := actors.NewMetrics(n.metrics)
	config := s.pebble
	config.Observer, config.Logger = metrics, log
	var err error
	if n.journal, err = pebble.Open(config); err != nil {
		t.Fatal(err)
	}
	n.seen = n.journal
	if s.wrap != nil {
		n.seen = s.wrap(n.journal)
	}
	s.engine.HeavyShare = 1 // how much processor time the machine gives is nothing to the clock of a bubble
	n.Engine, err = actors.New(s.engine, actors.Deps{
		Journal: n.seen, Placement: cluster.NewSingle(), Metrics: metrics, Log: log, Crowded: never,
		Watchdog: n.dog,
		Fatal: func(err error) {
			select {
			case n.broken <- err:
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.stop = sync.OnceFunc(func() {
		n.Stop()
		if err := n.journal.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		n.stop()
		time.Sleep(time.Second) // protoactor counts dead letters for so long
	})
	return n
}

// inMemory has the journal in memory, where it can crash.
func inMemory(s *settings) {
	s.disk = vfs.NewCrashableMem()
	s.pebble.Dir, s.pebble.FS = "journal", s.disk
}

// crash starts another engine on what is on the disk at this moment, as after a kill; the first one is gone afterwards. What
// that does until it is gone reaches no adapter any more.
func (n *node) crash() *node {
	n.t.Helper()
	n.crashed.Store(true)
	s := n.settings
	s.disk = n.settings.disk.CrashClone(vfs.CrashCloneCfg{})
	s.pebble.FS = s.disk
	n.stop()
	return s.start(n.t)
}

// restart stops the engine, and starts another on the same journal.
func (n *node) restart() *node {
	n.t.Helper()
	n.stop()
	return n.settings.start(n.t)
}

// drain moves the clock until all orders have ended.
func (n *node) drain() {
	n.t.Helper()
	open := []orderv1.Status{running, waiting, pending}
	for range 200 {
		left, _, err := n.journal.List(n.t.Context(), persistence.Query{Statuses: open, Limit: 1, Scan: 1 << 20})
		if err != nil {
			n.t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		n.sleep(5 * time.Second)
	}
	n.t.Error("there are orders that do not end")
}

// sleep moves the clock, and waits until everything that is due has happened.
func (n *node) sleep(d time.Duration) {
	time.Sleep(d)
	settle()
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// deploy deploys a definition with these tasks, and returns its name.
func (n *node) deploy(name, tasks string) *workflow.Definition {
	n.t.Helper()
	return n.deployDocument(fmt.Sprintf("document: {dsl: 1.0.3, namespace: test, name: %s, version: 1.0.0}\n%s", name, tasks))
}

func (n *node) deployDocument(doc string) *workflow.Definition {
	n.t.Helper()
	def, wrong, _, err := n.Catalog().Check(n.t.Context(), []byte(doc))
	if len(wrong) > 0 || err != nil {
		n.t.Fatalf("%s: %v, %v", doc, wrong, err)
	}
	hash := sha256.Sum256([]byte(doc))
	_, err = n.Catalog().Deploy(n.t.Context(), &journalv1.DefinitionRow{
		Namespace: def.Ref.Namespace, Name: def.Ref.Name, Version: def.Ref.Version, Hash: hash[:], Document: []byte(doc),
		Routes: def.Routes, Scheduled: def.Scheduled,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	compiled, err := found(n.Catalog(), def.Ref)
	if err != nil {
		n.t.Fatal(err)
	}
	return compiled
}

// found finds a definition among those that are known, and has it loaded.
func found(c *catalog.Catalog, ref messages.DefinitionRef) (*workflow.Definition, error) {
	def, err := c.Definition(ref)
	if !errors.Is(err, catalog.ErrNotLoaded) {
		return def, err
	}
	loaded := make(chan error, 1)
	c.Await(err, func(err error) {
		if err == nil {
			def, err = c.Definition(ref)
		}
		loaded <- err
	})
	err = <-loaded
	return def, err
}

// order is what a test submits.
type order struct {
	id, key  string
	def      *workflow.Definition
	input    string
	priority int32
	deadline time.Time
}

func (o order) accepted() *journalv1.OrderAccepted {
	if o.input == "" {
		o.input = "{}"
	}
	a := &journalv1.OrderAccepted{
		OrderId: o.id, Definition: o.def.Ref.String(), DefinitionHash: o.def.Hash, Input: []byte(o.input), OrderKey: o.key,
		Priority: o.priority, ContentHash: []byte(o.def.Ref.String() + o.input + o.key),
	}
	if !o.deadline.IsZero() {
		a.Deadline = o.deadline.UnixNano()
	}
	return a
}

// submit hands an order over and returns the answer.
func (n *node) submit(o order) error {
	answer := make(chan error, 2)
	n.hand(o.accepted(), func(err error) { answer <- err })
	err := <-answer
	settle()
	if len(answer) > 0 {
		n.t.Errorf("order %s was answered twice: %v, then %v", o.id, err, <-answer)
	}
	return err
}

func (n *node) mustSubmit(o order) {
	n.t.Helper()
	if err := n.submit(o); err != nil {
		n.t.Fatalf("submit %s: %v", o.id, err)
	}
}

func (n *node) cancel(id string) error { return n.operate(id, workflow.Cancel{Reason: "test"}) }

// state reads an order from the journal.
func (n *node) state(id string) *workflow.State {
	n.t.Helper()
	s, _, err := n.View().Load(context.Background(), messages.OrderID(id))
	if err != nil {
		n.t.Fatalf("load %s: %v", id, err)
	}
	return s
}

// expect checks the status of an order.
func (n *node) expect(id string, want orderv1.Status) {
	n.t.Helper()
	s := n.state(id)
	if s.Status() != want {
		n.t.Errorf("order %s is %v, want %v; error: %v", id, s.Status(), want, s.Error())
	}
}

// history returns an order's events.
func (n *node) history(id string) []*journalv1.Event {
	n.t.Helper()
	entry, err := n.journal.Find(context.Background(), messages.OrderID(id))
	if err != nil {
		n.t.Fatalf("find %s: %v", id, err)
	}
	events, err := actors.ReadEvents(context.Background(), n.journal, entry.Handle)
	if err != nil {
		n.t.Fatalf("history of %s: %v", id, err)
	}
	return events
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

// never has no heavy work wait: time goes by jumps here, and that of processors does not.
func never(time.Time) bool { return false }
