package actors_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// checkWaits checks that every wait of these orders ended when it was due: never before, and not late.
func (n *node) checkWaits(late time.Duration, ids ...string) {
	n.t.Helper()
	for _, id := range ids {
		var due int64
		ended := false
		for _, ev := range n.history(id) {
			switch e := ev.GetKind().(type) {
			case *journalv1.Event_WaitStarted:
				due = e.WaitStarted.GetDue()
			case *journalv1.Event_OrderCompleted:
				ended = true
				if after := time.Duration(ev.GetAt() - due); after < 0 || after > late {
					n.t.Errorf("%s went on %v after it was due", id, after)
				}
			}
		}
		if !ended {
			n.t.Errorf("%s has not ended", id)
		}
	}
}

func (n *node) resident() int { return n.gauge("holdfast_orders_resident") }

// gauge reads a metric, also a counter: the first one, or that which has a label of this value.
func (n *node) gauge(name string, label ...string) int {
	n.t.Helper()
	families, err := n.metrics.Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (len(label) == 0 || m.GetLabel()[0].GetValue() == label[0]) {
				return int(m.GetGauge().GetValue() + m.GetCounter().GetValue()) // it is one of them
			}
		}
	}
	n.t.Fatalf("no metric %s", name)
	return 0
}

func TestWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		short := n.deploy("short", "do: [{a: {wait: {milliseconds: 700}}}]")
		long := n.deploy("long", waitLong)
		n.mustSubmit(order{id: "short", def: short})
		n.mustSubmit(order{id: "long", def: long})
		n.expect("short", waiting)
		n.expect("long", waiting)
		if got := n.resident(); got != 1 {
			t.Errorf("%d orders in memory, want only the one with the short wait", got)
		}
		n.sleep(time.Minute)
		n.checkWaits(0, "short", "long")
		if got := n.resident(); got != 0 {
			t.Errorf("%d orders in memory, want none", got)
		}
		if got := n.gauge("holdfast_timers"); got != 0 {
			t.Errorf("%d timers, want none", got)
		}
	})
}

// Timers survive an engine that stops, and one that is killed; those that are due meanwhile fire at the start.
func TestWaitsSurvive(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(*node) *node{"stop": (*node).restart, "kill": (*node).crash} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, inMemory)
				def := n.deploy("wait", "do: [{a: {wait: '${ .for }'}}]")
				var ids []string
				for _, seconds := range []int{1, 3, 6, 9, 20, 60} {
					id := fmt.Sprint("w", seconds)
					ids = append(ids, id)
					n.mustSubmit(order{id: id, def: def, input: fmt.Sprintf(`{"for": "PT%dS"}`, seconds)})
				}
				n.sleep(2 * time.Second)
				n = again(n)
				n.sleep(3 * time.Second)
				n = again(n)
				settle() // all partitions have read what is open
				if got := n.gauge("holdfast_orders_running"); got != 4 {
					t.Errorf("%d orders run, by the metrics, want 4", got)
				}
				n.sleep(time.Minute)
				n.checkWaits(0, ids...)
				if got := n.gauge("holdfast_orders_running"); got != 0 {
					t.Errorf("%d orders run, by the metrics, want none", got)
				}

				n.mustSubmit(order{id: "missed", def: def, input: `{"for": "PT10S"}`})
				n.stop()
				time.Sleep(time.Minute)
				n = n.settings.start(t)
				settle()
				n.checkWaits(51*time.Second, "missed")
			})
		})
	}
}

func TestManyWaits(t *testing.T) {
	t.Parallel()
	t.Run("run on", func(t *testing.T) { manyWaits(t, 10_000, false) })
	t.Run("restart", func(t *testing.T) { manyWaits(t, 1_000, true) })
}

func manyWaits(t *testing.T, orders int, restart bool) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.pebble.MemTableBytes, s.engine.Dues = 64<<20, 10 })
		def := n.deploy("wait", "do: [{a: {wait: '${ .for }'}}]")
		failed := make(chan error, orders)
		due := make(map[messages.OrderID]time.Time, orders)
		for i := range orders {
			wait := time.Duration(40+rand.IntN(80)) * 250 * time.Millisecond
			o := order{id: fmt.Sprint("w", i), def: def, input: fmt.Sprintf(`{"for": "PT%.2fS"}`, wait.Seconds())}
			due[messages.OrderID(o.id)] = time.Now().Add(wait)
			n.hand(o.accepted(), func(err error) { failed <- err })
		}
		for range orders {
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
		}
		settle()
		if got := n.resident(); got != 0 {
			t.Errorf("%d orders in memory, want none", got)
		}
		if restart {
			n.sleep(5 * time.Second)
			n = n.restart()
		}
		var ended atomic.Int64
		for id, at := range due {
			n.await(id, &view.Waiter{Ended: func(s *orderv1.Order) {
				ended.Add(1)
				if !s.GetEndedAt().AsTime().Equal(at) {
					t.Errorf("%s ended %v after it was due", id, s.GetEndedAt().AsTime().Sub(at))
				}
			}})
		}
		n.sleep(30 * time.Second)
		if got := int(ended.Load()); got != orders {
			t.Errorf("%d of %d orders ended", got, orders)
		}
	})
}

// A retry waits like anything else.
func TestRetryWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		w := n.worker(nil)
		n.mustSubmit(order{id: "a", def: n.deploy("retry",
			"do: [{t: {try: [{a: {call: x.do}}], catch: {retry: {delay: PT20S}}}}]")})
		w.answer(w.one(), failing(503))
		settle()
		n = n.crash()
		w = n.worker(succeed("1"))
		n.sleep(20*time.Second - time.Millisecond)
		if got := len(w.took()); got != 0 {
			t.Errorf("%d attempts before the retry is due", got)
		}
		n.sleep(time.Millisecond)
		if got := w.one().GetAttempt(); got != 2 {
			t.Errorf("attempt %d, want 2", got)
		}
		n.expect("a", completed)
	})
}

// Orders leave memory while messages to them are on their way: none is lost, though nobody sends one twice.
func TestPassivationRace(t *testing.T) {
	orders, rounds := 200, 3
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, withEngine(actors.Config{Idle: time.Second, LongWait: time.Second}))
		var steps string
		for i := range rounds {
			steps += fmt.Sprintf("{a%d: {call: x.do}}, {w%d: {wait: PT2S}}, ", i, i)
		}
		def := n.deploy("steps", "do: ["+steps+"{e: {set: {x: 1}}}]")
		w := n.worker(func(w *worker, task *adapterv1.Task) *adapterv1.Result {
			// When the orders are swept, and a moment before and after.
			at := time.Duration(1+rand.IntN(3))*time.Second + time.Duration(rand.IntN(3)-1)*time.Microsecond
			time.AfterFunc(at, func() { w.answer(task, done("1")) })
			return nil
		})
		for i := range orders {
			n.mustSubmit(order{id: fmt.Sprint("o", i), def: def})
		}
		n.sleep(time.Duration(rounds) * 6 * time.Second)
		for i := range orders {
			n.expect(fmt.Sprint("o", i), completed)
		}
		if _, _, refused := w.heard(); len(refused) > 0 {
			t.Errorf("results were refused: %v", refused[0])
		}
		n.sleep(2 * time.Second)
		if got := n.resident(); got != 0 {
			t.Errorf("%d orders in memory, want none", got)
		}
	})
}

// An order that has ended leaves no timer behind, however far away its time was.
func TestTimersEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, withEngine(actors.Config{Idle: time.Second}))
		w := n.worker(nil)
		n.mustSubmit(order{id: "waiting", def: n.deploy("wait", waitLong)})
		n.mustSubmit(order{id: "bounded", def: n.deploy("one", callOne), deadline: time.Now().Add(24 * time.Hour)})
		n.sleep(5 * time.Second)
		if got := n.resident(); got != 0 {
			t.Errorf("%d orders in memory: the test shows nothing", got)
		}
		if err := n.cancel("waiting"); err != nil {
			t.Error(err)
		}
		w.answer(w.one(), done("1"))
		n.sleep(time.Second)
		n.expect("bounded", completed)
		if got := n.gauge("holdfast_timers"); got != 0 {
			t.Errorf("%d timers after all have ended", got)
		}
	})
}

// pages is a journal that hands a page of open orders of one partition out each time that it may.
type pages struct {
	persistence.Journal

	of  messages.Partition
	may chan struct{}
}

func (j *pages) Open(ctx context.Context, p messages.Partition, after messages.Handle, limit int) ([]persistence.OpenOrder, error) {
	if p == j.of {
		select {
		case <-j.may:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", persistence.ErrUnavailable, ctx.Err())
		}
	}
	return j.Journal.Open(ctx, p, after, limit)
}

// What has become due while nobody had the partition goes on before all that is open has been read, a few at a time, and once.
func TestDueFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const far, due, waking = 1100, 40, 16 // three pages
		n := start(t, inMemory, withEngine(actors.Config{Waking: waking}))
		p := messages.PartitionOf("first", "")
		submit := func(kind, tasks string, count int) (ids []string) {
			def := n.deploy(kind, tasks)
			for i := 0; len(ids) < count; i++ {
				id := fmt.Sprint(kind, i)
				if messages.PartitionOf(messages.OrderID(id), "") == p {
					n.mustSubmit(order{id: id, def: def})
					ids = append(ids, id)
				}
			}
			return ids
		}
		submit("far", "do: [{w: {wait: P1D}}]", far)
		ids := submit("due", "do: [{w: {wait: PT1H}}]", due)
		n.stop()
		time.Sleep(2 * time.Hour)
		j := &pages{of: p, may: make(chan struct{})}
		s := n.settings
		s.wrap = func(inner persistence.Journal) persistence.Journal {
			j.Journal = inner
			return j
		}
		n = s.start(t)
		for _, want := range []int{waking, 2 * waking, due} {
			settle()
			completed := 0
			for _, id := range ids {
				if n.state(id).Ended() {
					completed++
				}
			}
			if completed != want {
				t.Errorf("%d orders have gone on, want %d", completed, want)
			}
			if n.Ready() == nil {
				t.Error("the node is ready, and has not read all that is open")
			}
			j.may <- struct{}{}
		}
		settle()
		if err := n.Ready(); err != nil {
			t.Error(err)
		}
		n.sleep(time.Minute)
		if got := n.gauge("holdfast_orders_running"); got != far {
			t.Errorf("%d orders are open, want %d", got, far)
		}
		n.checkWaits(2*time.Hour, ids...)
	})
}
