package journaltest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// owners reads who owns what.
func owners(tb testing.TB, j persistence.Ownership) []persistence.Owner {
	tb.Helper()
	all, err := j.Owners(tb.Context())
	if err != nil || len(all) != messages.Partitions {
		tb.Fatalf("%d owners, %v", len(all), err)
	}
	return all
}

// claim claims one partition, which must be free.
func claim(tb testing.TB, j persistence.Ownership, p messages.Partition) messages.Epoch {
	tb.Helper()
	claimed, err := j.Claim(tb.Context(), []persistence.Holding{{Partition: p, Epoch: owners(tb, j)[p].Epoch}})
	if err != nil || len(claimed) != 1 || claimed[0].Partition != p {
		tb.Fatalf("claim of %d: %+v, %v", p, claimed, err)
	}
	return claimed[0].Epoch
}

// release gives a partition up, check asks whether it is owned.
func release(j persistence.Ownership, h persistence.Holding) error {
	done := make(chan error, 1)
	j.Release(h, func(err error) { done <- err })
	return <-done
}

func check(j persistence.Ownership, h persistence.Holding) error {
	done := make(chan error, 1)
	j.Check(h, func(err error) { done <- err })
	return <-done
}

// insert has the order accepted without an epoch.
func (o *order) insert(tb testing.TB, j persistence.Journal) {
	tb.Helper()
	if w, is := j.(*owning); is {
		j = w.Journal
	}
	o.must(tb, j, o.accept(1))
}

// Each partition lives in one of the shards, and each shard has some. While all answer, all owners are known.
func testShards(t env) {
	j := t.Open(t)
	defer closeJournal(t, j)
	lives := make([]int, j.Shards())
	for p, owner := range owners(t, j) {
		lives[j.ShardOf(messages.Partition(p))]++
		if owner.Unread {
			t.Errorf("the owner of partition %d is unread", p)
		}
	}
	for n, partitions := range lives {
		if partitions == 0 {
			t.Errorf("no partition lives in shard %d of %d", n, len(lives))
		}
	}
}

func testClaim(t env) {
	j := t.store.Open(t)
	for p, o := range owners(t, j) {
		if o != (persistence.Owner{}) {
			t.Errorf("the owner of %d in an empty journal is %+v", p, o)
		}
	}
	some := []messages.Partition{0, 1, messages.Partitions - 1}
	for want := range messages.Epoch(3) {
		var seen []persistence.Holding
		for _, p := range some {
			seen = append(seen, persistence.Holding{Partition: p, Epoch: want})
		}
		stale := []persistence.Holding{{Partition: 7, Epoch: 1}, {Partition: 0, Epoch: want + 1}, {Partition: 1, Epoch: want - 1}}
		claimed, err := j.Claim(t.Context(), append(stale, seen...))
		if err != nil || len(claimed) != len(some) {
			t.Fatalf("claimed %+v, %v", claimed, err)
		}
		for i, h := range claimed {
			if h != (persistence.Holding{Partition: some[i], Epoch: want + 1}) {
				t.Errorf("claimed %+v", h)
			}
			if o := owners(t, j)[h.Partition]; o != (persistence.Owner{Epoch: h.Epoch, Incarnation: j.Incarnation()}) {
				t.Errorf("the owner of %d is %+v", h.Partition, o)
			}
		}
	}
	if _, err := j.Claim(t.Context(), []persistence.Holding{{Partition: messages.Partitions}}); err == nil {
		t.Error("a partition that does not exist was claimed")
	}
	before := j.Incarnation()
	closeJournal(t, j)
	j = t.store.Open(t)
	t.Cleanup(func() { closeJournal(t, j) })
	if j.Incarnation() == before {
		t.Errorf("two openings have the incarnation %s", before)
	}
	for _, p := range some {
		if o := owners(t, j)[p]; o.Epoch != 3 {
			t.Errorf("the owner of %d after a restart is %+v", p, o)
		}
	}
	if o := owners(t, j)[2]; o != (persistence.Owner{}) {
		t.Errorf("the owner of 2 is %+v", o)
	}
}

// testClaimOnce has many race for a partition.
func testClaimOnce(t env) {
	j := open(t)
	for range 10 {
		seen := []persistence.Holding{{Partition: 9, Epoch: owners(t, j)[9].Epoch}}
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				claimed, err := j.Claim(t.Context(), seen)
				if err != nil {
					t.Error(err)
				}
				won.Add(int32(len(claimed)))
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d claims won", won.Load())
		}
	}
}

// testRelease gives a partition up amid commits: those handed over before it are made, the others are not.
func testRelease(t env) {
	j := open(t)
	o, other := accepted(t, j), accepted(t, j)
	for other.partition == o.partition {
		other = accepted(t, j)
	}
	h := j.holding(o.partition)
	wantErr(t, "release under another epoch", release(j, persistence.Holding{Partition: h.Partition, Epoch: h.Epoch + 1}), persistence.ErrFenced)
	results := make(chan string, 4)
	note := func(what string) func(error) { return func(err error) { results <- fmt.Sprint(what, " ", err) } }
	before, behind := o.step(1), o.step(1)
	before.Done, behind.Done = note("before"), func(err error) {
		wantErr(t, "commit behind the release", err, persistence.ErrFenced)
		results <- "behind"
	}
	j.Commit(before)
	j.Release(h, note("release"))
	o.done(before)
	behind.Expected = o.version
	j.Commit(behind)
	j.Check(h, func(err error) {
		wantErr(t, "check behind the release", err, persistence.ErrFenced)
		results <- "check"
	})
	for _, want := range []string{"before <nil>", "release <nil>", "behind", "check"} {
		if got := <-results; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := owners(t, j)[o.partition]; got != (persistence.Owner{Epoch: h.Epoch}) {
		t.Errorf("the owner of a released partition is %+v", got)
	}
	wantErr(t, "release again", release(j, h), persistence.ErrFenced)
	other.must(t, j, other.step(1))
	if epoch := claim(t, j, o.partition); epoch != h.Epoch+1 {
		t.Errorf("epoch %d follows %d", epoch, h.Epoch)
	}
	j.epochs[o.partition] = h.Epoch + 1
	o.must(t, j, o.step(1))
	o.check(t, j)
	other.check(t, j)
}

// testCheck asks whether partitions are owned.
func testCheck(t env) {
	j := open(t)
	h := j.holding(5)
	if err := check(j, h); err != nil {
		t.Error(err)
	}
	for _, wrong := range []persistence.Holding{{Partition: 5}, {Partition: 5, Epoch: h.Epoch + 1}, {Partition: 6, Epoch: h.Epoch + 1}} {
		wantErr(t, fmt.Sprintf("check of %+v", wrong), check(j, wrong), persistence.ErrFenced)
	}
	if err := check(j, persistence.Holding{Partition: messages.Partitions, Epoch: 1}); err == nil {
		t.Error("a partition that does not exist is owned")
	}
}

// testFence ends the right to commit: of somebody who is not there, and its own.
func testFence(t env) {
	j := t.Open(t)
	o := accepted(t, j)
	if err := j.Fence(t.Context(), messages.NewIncarnation("gone")); err != nil {
		t.Error(err)
	}
	o.must(t, j, o.step(1))
	if err := j.Fence(t.Context(), j.Incarnation()); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"commit": commit(j, o.step(1)), "acceptance": commit(j, newOrder().accept(1)), "check": check(j, j.holding(o.partition)),
		"release": release(j, j.holding(o.partition)),
	} {
		wantErr(t, what, err, persistence.ErrIncarnationFenced)
		wantErr(t, what, err, persistence.ErrFenced)
	}
	_, err := j.Claim(t.Context(), []persistence.Holding{j.holding(0)})
	wantErr(t, "claim", err, persistence.ErrIncarnationFenced)
	if got := owners(t, j)[o.partition]; !got.Fenced || got.Incarnation != j.Incarnation() {
		t.Errorf("the owner of a partition is %+v", got)
	}
	// To accept is nobody's right.
	free := newOrder()
	free.insert(t, j)
	o.check(t, j)
	closeJournal(t, j)
	j = open(t)
	o.must(t, j, o.step(1))
	o.check(t, j)
	free.check(t, j)
}

// testGeneration has a journal restored: nobody owns anything any more, and no epoch comes again.
func testGeneration(t env) {
	j := t.Open(t)
	o := accepted(t, j)
	before := j.holding(o.partition)
	for want := messages.Generation(1); want <= 2; want++ {
		got, err := j.NewGeneration(t.Context())
		if err != nil || got != want {
			t.Fatalf("generation %d, %v", got, err)
		}
		wantErr(t, "commit of before the restore", commit(j, o.step(1)), persistence.ErrFenced)
		wantErr(t, "check of before the restore", check(j, before), persistence.ErrFenced)
		if got := owners(t, j)[o.partition]; got != (persistence.Owner{Epoch: before.Epoch}) {
			t.Errorf("the owner after a restore is %+v", got)
		}
		if want == 1 {
			closeJournal(t, j)
			j = t.Open(t)
		} else {
			j = own(t, j.Journal)
		}
		after := j.holding(o.partition)
		if after.Epoch <= before.Epoch || after.Epoch.Generation() != want {
			t.Errorf("epoch %d of generation %d follows %d", after.Epoch, after.Epoch.Generation(), before.Epoch)
		}
		before = after
		o.must(t, j, o.step(1))
	}
	o.check(t, j)
	closeJournal(t, j)
}
