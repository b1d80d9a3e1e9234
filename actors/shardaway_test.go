package actors_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/flaky"
)

// inShard makes an order whose id lives in a shard of two, and with it the order, if it has no key.
func inShard(shard int, name string, def *workflow.Definition) order {
	for i := 0; ; i++ {
		if id := fmt.Sprint(name, "-", i); int(messages.PartitionOf(messages.OrderID(id), ""))%2 == shard {
			return order{id: id, def: def}
		}
	}
}

// keyInShard is an order key whose orders live in a shard of two.
func keyInShard(shard int) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint("key", i); int(messages.PartitionOf("", key))%2 == shard {
			return key
		}
	}
}

// insist submits an order again and again until it is accepted. It may be refused only because the journal does not answer for it.
func (n *node) insist(o order) {
	var again func(error)
	again = func(err error) {
		if err == nil {
			return
		}
		if !errors.Is(err, persistence.ErrUnavailable) && !errors.Is(err, runtime.ErrInterrupted) && !errors.Is(err, runtime.ErrNotOwner) {
			n.t.Errorf("order %s is refused: %v", o.id, err)
		}
		time.AfterFunc(time.Second, func() { n.hand(o.accepted(), again) })
	}
	n.hand(o.accepted(), again)
}

// epochs are the owners of all partitions, as the journal has them.
func (n *node) epochs() []persistence.Owner {
	n.t.Helper()
	owners, err := n.journal.Owners(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return owners
}

// submitDisk submits orders of both shards for whose tasks there is no adapter, and little room. It returns their ids by shard.
func (n *node) submitDisk(def *workflow.Definition) (disk [2][]string) {
	n.t.Helper()
	for i := range 60 {
		o := inShard(i%2, fmt.Sprint("disk", i), def)
		n.mustSubmit(o)
		disk[i%2] = append(disk[i%2], o.id)
	}
	return disk
}

// While one shard of two does not answer, orders that live in the other one are accepted and run, also those whose tasks are on disk;
// all else waits, nothing breaks, and no partition is lost. Once it answers again, all goes on within two seconds.
func TestShardThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		state flaky.State
		room  option
	}{
		"away": {flaky.Away, narrow},
		// Room that is reserved for a commit stays so until that is answered.
		"silent": {flaky.Silent, func(*settings) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var j *flaky.Journal
				n := start(t, test.room, withWrap(func(behind persistence.Journal) persistence.Journal {
					j = flaky.Split(behind, 2)
					return j
				}))
				n.insistent()
				three := n.deploy("three", callThree)
				disk := n.submitDisk(n.deploy("disk", "do: [{a: {call: y.do}}]"))
				var here, away []string
				submit := func(i int) {
					keyed := inShard(1, fmt.Sprint("keyed", i), three)
					keyed.key = keyInShard(0)
					others := []order{inShard(1, fmt.Sprint("away", i), three), keyed}
					for _, o := range others {
						n.insist(o)
						away = append(away, o.id)
					}
					o := inShard(0, fmt.Sprint("here", i), three)
					n.mustSubmit(o)
					here = append(here, o.id)
				}
				submit(-1)
				n.sleep(300 * time.Millisecond)
				owned := n.epochs()
				j.Set(test.state, 1)
				n.insistent(func(h *adapterv1.Hello) { h.Adapter, h.Process, h.Ledger = "y", "y", "y" })
				for i := range 30 {
					n.sleep(time.Second)
					if stuck := n.dog.Stuck(time.Now()); len(stuck) > 0 {
						t.Fatalf("after %d s it is not alive: %v", i, stuck)
					}
					submit(i)
				}
				if err := n.Ready(); !errors.Is(err, persistence.ErrUnavailable) || !strings.Contains(err.Error(), "these: 1") {
					t.Errorf("it is ready, or not for that reason: %v", err)
				}
				n.sleep(5 * time.Second)
				for _, id := range append(here, disk[0]...) {
					n.expect(id, completed)
				}
				j.Set(flaky.Up, 1)
				n.sleep(2 * time.Second)
				if err := n.Ready(); err != nil {
					t.Errorf("two seconds later it is not ready: %v", err)
				}
				n.drain()
				n.sleep(2 * time.Minute)
				for _, id := range append(away, disk[1]...) {
					n.expect(id, completed)
				}
				if now := n.epochs(); !slices.Equal(now, owned) {
					t.Error("partitions were lost, and claimed anew")
				}
				n.checkNothingLeft()
			})
		})
	}
}

// A node starts while a shard is away: it takes up what lives in the other one, and the rest when that answers.
func TestShardAwayAtStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		three := n.deploy("three", callThree)
		var before [2]string
		for shard := range before {
			o := inShard(shard, "before", three)
			n.mustSubmit(o)
			before[shard] = o.id
		}
		n.stop()
		var j *flaky.Journal
		n.settings.wrap = func(behind persistence.Journal) persistence.Journal {
			j = flaky.Split(behind, 2)
			j.Set(flaky.Away, 1)
			return j
		}
		n = n.settings.start(t)
		n.insistent()
		away := inShard(1, "away", three)
		n.insist(away)
		n.mustSubmit(inShard(0, "here", three))
		n.sleep(10 * time.Second)
		if err := n.Ready(); !errors.Is(err, persistence.ErrUnavailable) {
			t.Errorf("it is ready, or not for that reason: %v", err)
		}
		n.expect(before[0], completed)
		n.expect(inShard(0, "here", three).id, completed)
		for p, owner := range n.epochs() {
			if isOwn := owner.Incarnation == n.journal.Incarnation(); isOwn != (p%2 == 0) {
				t.Errorf("partition %d is owned by %s", p, owner.Incarnation)
			}
		}
		j.Set(flaky.Up, 1)
		n.sleep(2 * time.Second)
		if err := n.Ready(); err != nil {
			t.Errorf("two seconds later it is not ready: %v", err)
		}
		n.drain()
		n.expect(before[1], completed)
		n.expect(away.id, completed)
	})
}
