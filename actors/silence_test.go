package actors_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/persistence/flaky"
)

// However long a journal is silent, the node is alive: to ask whether it answers again holds up nobody's clock.
func TestAliveInLongSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j *flaky.Journal
		n := start(t, flakily(&j))
		n.sleep(time.Second)
		j.Set(flaky.Silent)
		for began := time.Now(); time.Since(began) < 20*time.Minute; {
			n.sleep(500 * time.Millisecond)
			if stuck := n.dog.Stuck(time.Now()); len(stuck) > 0 {
				t.Fatalf("after %v it is not alive: %d loops, the first is %v", time.Since(began), len(stuck), stuck[0])
			}
		}
		j.Set(flaky.Up)
		n.sleep(2 * time.Second)
		if err := n.Ready(); err != nil {
			t.Error(err)
		}
	})
}
