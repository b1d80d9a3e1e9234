package actors_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// A limit holds tasks back, whatever adapters could take, also after a restart, until it is lifted.
func TestLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		def := n.deploy("one", callOne)
		limit := func(rate float64, concurrency uint32) {
			t.Helper()
			if err := n.SetLimit(t.Context(), &journalv1.LimitRow{Activity: "x.do", Rate: rate, Concurrency: concurrency}); err != nil {
				t.Fatal(err)
			}
			settle()
		}
		limit(0, 2)
		w := n.worker(nil)
		const orders = 100
		for i := range orders {
			n.mustSubmit(order{id: fmt.Sprint("o", i), def: def})
		}
		if got := len(w.took()); got != 2 {
			t.Errorf("%d tasks at a concurrency of 2", got)
		}
		w.answer(w.took()[0], done("1"))
		settle()
		if got := len(w.took()); got != 3 {
			t.Errorf("%d tasks after a result", got)
		}
		n = n.crash()
		w = n.worker(succeed("1"), process("p2", "l2"))
		limit(0, 1)
		n.sleep(5 * time.Second) // the adapter before has been lost for long enough
		n.drain()

		limit(5, 0)
		before := len(w.took())
		for i := range orders {
			n.mustSubmit(order{id: fmt.Sprint("r", i), def: def})
		}
		n.sleep(10 * time.Second)
		if got := len(w.took()) - before; got < 49 || got > 52 {
			t.Errorf("%d tasks in 10 s at a rate of 5", got)
		}
		if got := n.Activities().All(); len(got) != 1 || got[0].Limit.GetRate() != 5 || got[0].Adapters != 1 || got[0].Waiting < 45 || got[0].Rate < 3 || got[0].Rate > 6 {
			t.Errorf("activities are %+v", got)
		}
		limit(0, 0)
		if got := len(w.took()) - before; got != orders {
			t.Errorf("%d tasks without a limit", got)
		}
		if got := n.Catalog().Limit("x.do"); got != nil {
			t.Errorf("the limit is %v", got)
		}
	})
}

// An order that waits for adapters tells when it will have ended.
func TestEstimate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, narrow)
		def := n.deploy("one", callOne)
		estimate := func(id string) time.Duration {
			t.Helper()
			o, err := n.View().Order(t.Context(), messages.OrderID(id))
			if err != nil {
				t.Error(err)
			}
			if o.GetEstimatedEnd() == nil {
				return 0
			}
			return time.Until(o.GetEstimatedEnd().AsTime())
		}
		const orders = 2000
		for i := range orders {
			n.mustSubmit(order{id: fmt.Sprint("o", i), def: def})
			time.Sleep(time.Millisecond)
		}
		if got := estimate("o1999"); got != 0 {
			t.Errorf("the estimate is %v, though no adapter was ever there", got)
		}
		// One that needs a tenth of a second for each.
		w := n.slowWorker()
		ended := 0
		second := func() {
			for range 10 {
				ended++
				w.credit(uint64(ended))
				n.sleep(100 * time.Millisecond)
			}
		}
		for range 40 {
			second()
		}
		for id, want := range map[string]float64{"o1999": float64(orders-ended) / 10, "o1200": float64(1200-ended) / 10} {
			// Its place is told by that in its partition, which has but a few.
			if got := estimate(id).Seconds(); got < want*0.4 || got > want*1.6 {
				t.Errorf("%s ends in %.0f s, by the estimate in %.0f s", id, want, got)
			}
		}
		for ended < orders {
			second()
		}
		n.drain()
		if got := estimate("o1999"); got != 0 {
			t.Errorf("the estimate is %v, though it has ended", got)
		}
		n.sleep(3 * time.Minute) // with nothing to do
		for i := range 20 {
			n.mustSubmit(order{id: fmt.Sprint("p", i), def: def})
		}
		if got := estimate("p19"); got != 0 {
			t.Errorf("the estimate is %v after a pause", got)
		}
	})
}
