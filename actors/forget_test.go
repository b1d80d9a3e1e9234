package actors_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/activity"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// offering has a hello offer activities, the first of which is numbered from.
func offering(adapter string, from, count int) func(*adapterv1.Hello) {
	return func(h *adapterv1.Hello) {
		h.Adapter, h.Activities = adapter, nil
		for i := range count {
			h.Activities = append(h.Activities, &adapterv1.Activity{Name: fmt.Sprint("a", from+i), Version: "1.0.0", Idempotent: true})
		}
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// page returns the metrics as they are scraped.
func (n *node) page() string {
	n.t.Helper()
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(n.metrics, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	return answer.Body.String()
}

// TestNamesAreForgotten: adapters that offer thousands of activities and leave at once leave nothing behind: no actors, no metrics, no
// loops that turn, and no memory. While they are known, the metrics are short, and those who rest cost nothing.
//
//nolint:paralleltest // what others take is not to count
func TestNamesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		before, routines := heap(), runtime.NumGoroutine()
		const adapters, each = 40, 200
		for i := range adapters {
			w := n.newWorker(nil, offering("evil"+strings.Repeat("x", 50)+fmt.Sprint(i), 0, each))
			w.attach()
			w.Detach(true, true)
		}
		settle()
		if got := n.Activities().Known(); got != adapters*each {
			t.Fatalf("%d activities are known", got)
		}
		if page := n.page(); len(page) > 1<<20 || !strings.Contains(page, `activity="other"`) {
			t.Errorf("the page of metrics has %d bytes", len(page))
		}
		time.Sleep(3 * time.Second)
		settle()
		if awake := n.Activities().Tick(); awake != 0 {
			t.Errorf("%d loops turn for what rests", awake)
		}
		time.Sleep(2 * time.Minute)
		settle()
		if got := n.Activities().Known(); got != 0 || len(n.Activities().All()) != 0 || n.Activities().AdapterBytes() != 0 {
			t.Errorf("%d activities and %d bytes are left", got, n.Activities().AdapterBytes())
		}
		if page := n.page(); strings.Contains(page, "evil") || len(page) > 64<<10 {
			t.Errorf("the page of metrics has %d bytes", len(page))
		}
		if stuck := n.dog.Stuck(time.Now()); len(stuck) > 0 {
			t.Errorf("stuck: %v", stuck)
		}
		if now := heap(); now > before+8<<20 {
			t.Errorf("the heap has grown from %d to %d", before, now)
		}
		if now := runtime.NumGoroutine(); now > routines+100 { // workers that have nothing to do are kept, 64 at most
			t.Errorf("goroutines have grown from %d to %d", routines, now)
		}
	})
}

// TestForget: an activity is kept while an order waits for it, an adapter offers it, or it has a limit; is forgotten when nothing has used
// it for long; and comes back when it is needed.
func TestForget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, withEngine(actors.Config{ForgetAfter: 10 * time.Minute}))
		one := n.deploy("one", callOne)
		wantKnown := func(when string, want int) {
			t.Helper()
			settle()
			if got := n.Activities().Known(); got != want {
				t.Fatalf("%s, %d activities are known, want %d", when, got, want)
			}
		}
		n.mustSubmit(order{id: "a", def: one})
		time.Sleep(time.Hour)
		wantKnown("while an order waits", 1)
		w := n.worker(succeed("1"))
		n.expect("a", orderv1.Status_STATUS_COMPLETED)
		time.Sleep(time.Hour)
		wantKnown("while an adapter offers it", 1)
		if awake := n.Activities().Tick(); awake != 0 {
			t.Errorf("%d loops turn, and nothing waits", awake)
		}
		w.Detach(true, true)
		time.Sleep(9 * time.Minute)
		wantKnown("for a while after", 1)
		time.Sleep(2 * time.Minute)
		wantKnown("later", 0)

		limit := &journalv1.LimitRow{Activity: "x.do", Rate: 1000, Concurrency: 10}
		if err := n.SetLimit(t.Context(), limit); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		wantKnown("while it has a limit", 1)
		n.mustSubmit(order{id: "b", def: one})
		w = n.worker(succeed("1"))
		time.Sleep(5 * time.Second)
		n.expect("b", orderv1.Status_STATUS_COMPLETED)
		w.Detach(true, true)
		if err := n.SetLimit(t.Context(), &journalv1.LimitRow{Activity: "x.do"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		wantKnown("without a limit", 0)
		n.mustSubmit(order{id: "c", def: one})
		wantKnown("when it is called again", 1)
		n.worker(succeed("1"))
		n.expect("c", orderv1.Status_STATUS_COMPLETED)
	})
}

// TestForgottenUnderLoad: activities are forgotten and come back again and again while orders call them, also beyond the room in memory:
// every order is done, and nothing is left.
func TestForgottenUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, withEngine(actors.Config{ForgetAfter: time.Second, QueueEach: 1 << 10}))
		one := n.deploy("one", callOne)
		chance := rand.New(rand.NewPCG(1, 2))
		forgotten, submitted := 0, 0
		for round := range 100 {
			for range 1 + chance.IntN(4) {
				n.mustSubmit(order{id: fmt.Sprint("o", submitted), def: one, priority: int32(chance.IntN(3))})
				submitted++
			}
			time.Sleep(time.Duration(chance.IntN(200)) * time.Millisecond)
			w := n.worker(succeed("1"), process(fmt.Sprint("p", round), fmt.Sprint("p", round)))
			time.Sleep(time.Duration(chance.IntN(3000)) * time.Millisecond)
			settle()
			w.Detach(true, true)
			time.Sleep(time.Duration(900+chance.IntN(2400)) * time.Millisecond)
			settle()
			if n.Activities().Known() == 0 {
				forgotten++
			}
		}
		n.worker(succeed("1"), process("last", "last"))
		time.Sleep(10 * time.Second)
		settle()
		for i := range submitted {
			n.expect(fmt.Sprint("o", i), orderv1.Status_STATUS_COMPLETED)
		}
		if left := n.RoomUsed("x.do"); left != "" || forgotten < 10 || n.Activities().AdapterBytes() > 64<<10 {
			t.Errorf("forgotten %d times; left are %q and %d bytes", forgotten, left, n.Activities().AdapterBytes())
		}
	})
}

// TestKnownActivities: an adapter that offers more than a node may know is refused, and told the bound; one that offers what is known is
// not, nor is what orders call.
func TestKnownActivities(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, withEngine(actors.Config{Activities: 10}))
		attach := func(change func(*adapterv1.Hello)) (*activity.Stream, error) {
			w := n.newWorker(nil, change)
			return n.Activities().Attach(w.hello, w)
		}
		first, err := attach(offering("x", 0, 10))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := attach(offering("x", 1, 10)); !errors.Is(err, activity.ErrTooMuch) || !strings.Contains(err.Error(), "--max-activities") {
			t.Errorf("one more: %v", err)
		}
		if _, err := attach(offering("y", 0, 1)); !errors.Is(err, activity.ErrTooMuch) {
			t.Errorf("one more of another: %v", err)
		}
		if _, err := attach(offering("x", 0, 10)); err != nil {
			t.Errorf("the same: %v", err)
		}
		n.mustSubmit(order{id: "a", def: n.deploy("one", callOne)})
		settle()
		if got := n.Activities().Known(); got != 11 {
			t.Errorf("%d are known", got)
		}
		first.Detach(true, true)
	})
}
