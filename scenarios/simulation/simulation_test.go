package simulation_test

import (
	"flag"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/scenarios/simulation"
)

var (
	seeds = flag.Uint64("simulation.seeds", 400, "how many worlds are run")
	first = flag.Uint64("simulation.first", 1, "the seed of the first one")
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// In no world is a version committed twice; all is well again in the end; and each kind of fault has done what it is there for.
func TestWorlds(t *testing.T) {
	t.Parallel()
	sum := simulation.NewReport()
	var mu sync.Mutex
	var next atomic.Uint64
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for n := next.Add(1); n <= *seeds; n = next.Add(1) {
				r, err := simulation.Run(*first + n - 1)
				mu.Lock()
				if err != nil {
					t.Error(err)
				}
				sum.Add(r)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	t.Logf("%+v", sum)
	if *seeds < 400 { // what is rare need not have happened
		return
	}
	if idle := sum.Idle(); len(idle) > 0 {
		t.Errorf("nothing came of %q", idle)
	}
	if sum.TakenOver == 0 || sum.Fenced == 0 || sum.Refused == 0 {
		t.Error("nobody was taken over from, or nothing of who was has come late")
	}
}

// The same seed gives the same world.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		a, errA := simulation.Run(seed)
		b, errB := simulation.Run(seed)
		if !reflect.DeepEqual(a, b) || errA != nil || errB != nil {
			t.Errorf("seed %d: %+v, %v, and then %+v, %v", seed, a, errA, b, errB)
		}
	}
}
