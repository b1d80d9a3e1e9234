package flaky_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/flaky"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
	"github.com/holdfast-run/holdfast/persistence/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *flaky.Journal {
	t.Helper()
	j := flaky.Wrap(memory.NewStore().Open(memory.Config{}))
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

// submit hands over an acceptance.
func submit(j persistence.Journal, id string) <-chan error {
	done := make(chan error, 1)
	c := journaltest.Acceptance(id)
	c.Done = func(err error) { done <- err }
	j.Commit(c)
	return done
}

func finds(t *testing.T, j persistence.Journal, id messages.OrderID) bool {
	t.Helper()
	_, err := j.Find(t.Context(), id)
	if err != nil && !errors.Is(err, persistence.ErrNotFound) {
		t.Error(err)
	}
	return err == nil
}

// What comes while the journal is away is refused; of some commits nobody knows whether they were made.
func TestAway(t *testing.T) {
	t.Parallel()
	j := open(t)
	j.Set(flaky.Away)
	ids := []string{"a", "b", "c", "d"}
	unknown := 0
	for _, id := range ids {
		switch err := <-submit(j, id); {
		case errors.Is(err, persistence.ErrUnknown):
			unknown++
		case !errors.Is(err, persistence.ErrUnavailable):
			t.Errorf("a commit is answered %v", err)
		}
	}
	done := make(chan error, 2)
	j.Check(persistence.Holding{}, func(err error) { done <- err })
	j.Release(persistence.Holding{}, func(err error) { done <- err })
	for range 2 {
		if err := <-done; !errors.Is(err, persistence.ErrUnavailable) {
			t.Errorf("a check or release is answered %v", err)
		}
	}
	for name, err := range asks(t.Context(), j) {
		if !errors.Is(err, persistence.ErrUnavailable) {
			t.Errorf("%s is answered %v", name, err)
		}
	}
	j.Set(flaky.Up)
	made := 0
	for _, id := range ids {
		if finds(t, j, messages.OrderID(id)) {
			made++
		}
	}
	if unknown != 2 || made != 1 || j.Unanswered() != 4 {
		t.Errorf("of 4 commits %d are unknown and %d were made; %d are counted", unknown, made, j.Unanswered())
	}
	if err := <-submit(j, "e"); err != nil {
		t.Error(err)
	}
}

// A silent journal answers nothing: reads end with their time, commits are answered when it is up again.
func TestSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := open(t)
		j.Set(flaky.Silent)
		a, b := submit(j, "a"), submit(j, "b")
		checked := make(chan error, 1)
		j.Check(persistence.Holding{}, func(err error) { checked <- err })
		for name, err := range asks(t.Context(), j) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s is answered %v", name, err)
			}
		}
		if len(a)+len(b)+len(checked) > 0 {
			t.Error("it has answered")
		}
		j.Set(flaky.Up)
		if one, two := <-a, <-b; !errors.Is(one, persistence.ErrUnknown) || !errors.Is(two, persistence.ErrUnknown) {
			t.Errorf("the commits are answered %v and %v", one, two)
		}
		if err := <-checked; !errors.Is(err, persistence.ErrFenced) {
			t.Errorf("the check is answered %v", err)
		}
		if finds(t, j, "a") == finds(t, j, "b") {
			t.Error("both commits were made, or none")
		}
	})
}

// asks reads and changes everything, for a second each, and returns what is answered.
func asks(ctx context.Context, j persistence.Journal) map[string]error {
	out := map[string]error{}
	ask := func(name string, do func(context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		out[name] = do(ctx)
	}
	var h messages.Handle
	ask("Find", func(ctx context.Context) error { _, err := j.Find(ctx, "a"); return err })
	ask("Records", func(ctx context.Context) error { return lastOf(j.Records(ctx, h, 1)) })
	ask("Row", func(ctx context.Context) error { _, err := j.Row(ctx, h); return err })
	ask("Fallout", func(ctx context.Context) error { _, err := j.Fallout(ctx); return err })
	ask("List", func(ctx context.Context) error { _, _, err := j.List(ctx, persistence.Query{}); return err })
	ask("Open", func(ctx context.Context) error { _, err := j.Open(ctx, 1, h, 1); return err })
	ask("Due", func(ctx context.Context) error { _, err := j.Due(ctx, 1, persistence.DuePlace{}, 1); return err })
	ask("Overflowed", func(ctx context.Context) error {
		_, err := j.Overflowed(ctx, persistence.Overflow{}, persistence.OverflowPlace{}, 1)
		return err
	})
	ask("Intake", func(ctx context.Context) error { _, err := j.Intake(ctx, []messages.Partition{1}, h, 1); return err })
	ask("Queue", func(ctx context.Context) error { _, err := j.Queue(ctx, 1, "k", 0, 1); return err })
	ask("QueuedKeys", func(ctx context.Context) error { _, err := j.QueuedKeys(ctx, 1, "", 1); return err })
	ask("Owners", func(ctx context.Context) error { _, err := j.Owners(ctx); return err })
	ask("Claim", func(ctx context.Context) error { _, err := j.Claim(ctx, nil); return err })
	ask("Fence", func(ctx context.Context) error { return j.Fence(ctx, "other") })
	ask("NewGeneration", func(ctx context.Context) error { _, err := j.NewGeneration(ctx); return err })
	ask("PutDefinition", func(ctx context.Context) error {
		_, err := j.PutDefinition(ctx, &journalv1.DefinitionRow{})
		return err
	})
	ask("Definition", func(ctx context.Context) error { _, err := j.Definition(ctx, messages.DefinitionRef{}); return err })
	ask("RetireDefinition", func(ctx context.Context) error {
		_, err := j.RetireDefinition(ctx, messages.DefinitionRef{}, nil)
		return err
	})
	ask("AllDefinitions", func(ctx context.Context) error { return lastOf(j.AllDefinitions(ctx)) })
	ask("PutLimit", func(ctx context.Context) error { return j.PutLimit(ctx, &journalv1.LimitRow{}) })
	ask("AllLimits", func(ctx context.Context) error { return lastOf(j.AllLimits(ctx)) })
	ask("AppendAudit", func(ctx context.Context) error { return j.AppendAudit(ctx, "a", 9, [][]byte{{1}}) })
	ask("AuditEntries", func(ctx context.Context) error { _, err := j.AuditEntries(ctx, "a", 1, 1); return err })
	ask("AuditChains", func(ctx context.Context) error { _, err := j.AuditChains(ctx); return err })
	ask("TrimAudit", func(ctx context.Context) error { return j.TrimAudit(ctx, "a", 1) })
	ask("FeatureLevel", func(ctx context.Context) error { _, err := j.FeatureLevel(ctx); return err })
	ask("RaiseFeatureLevel", func(ctx context.Context) error { return j.RaiseFeatureLevel(ctx, 1) })
	ask("CatalogVersion", func(ctx context.Context) error { _, err := j.CatalogVersion(ctx); return err })
	return out
}

// lastOf returns the error with which an iteration ended.
func lastOf[T any](all iter.Seq2[T, error]) (last error) {
	all(func(_ T, err error) bool {
		last = err
		return true
	})
	return last
}

// One shard of two is away: what lives in the other one is answered, and what needs the first one says that it is that one.
func TestShardAway(t *testing.T) {
	t.Parallel()
	j := flaky.Split(memory.NewStore().Open(memory.Config{}), 2)
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	in := func(shard int) (id string) {
		for id == "" || j.ShardOf(messages.PartitionOf(messages.OrderID(id), "")) != shard {
			id = string(messages.NewOrderID())
		}
		return id
	}
	j.Set(flaky.Away, 1)
	isAway := func(what string, err error) {
		t.Helper()
		if away, ok := errors.AsType[*persistence.UnavailableError](err); !ok || away.Shard != 1 || !errors.Is(err, persistence.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	here := in(0)
	if err := <-submit(j, here); err != nil || !finds(t, j, messages.OrderID(here)) {
		t.Errorf("an order of the shard that answers: %v", err)
	}
	_, err := j.Find(t.Context(), messages.OrderID(in(1)))
	isAway("an order of the other one", err)
	keyed := journaltest.Acceptance(in(1))
	keyed.Partition = 0
	keyed.Handle = messages.NewHandle(0, time.Now())
	done := make(chan error, 1)
	keyed.Done = func(err error) { done <- err }
	j.Commit(keyed)
	isAway("an order that lives in the one, and whose id lives in the other", <-done)

	owners, err := j.Owners(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var seen []persistence.Holding
	for p, owner := range owners {
		if owner.Unread != (p%2 == 1) || owner.Unread && owner.Free(j.Incarnation()) {
			t.Errorf("partition %d: %+v", p, owner)
		}
		seen = append(seen, persistence.Holding{Partition: messages.Partition(p)})
	}
	claimed, err := j.Claim(t.Context(), seen)
	if len(claimed) != len(seen)/2 {
		t.Errorf("%d partitions were claimed", len(claimed))
	}
	isAway("a claim", err)
	isAway("a fence", j.Fence(t.Context(), "other"))
	if _, err := j.CatalogVersion(t.Context()); err != nil {
		t.Error(err)
	}
	j.Set(flaky.Up, 1)
	if claimed, err = j.Claim(t.Context(), seen); err != nil || len(claimed) != len(seen)/2 {
		t.Errorf("later %d partitions were claimed, %v", len(claimed), err)
	}
}
