package memory_test

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
	"github.com/holdfast-run/holdfast/persistence/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	journaltest.Run(t, backend{})
}

type backend struct{}

func (backend) NewStore(testing.TB) journaltest.Store {
	s := memory.NewStore()
	return journaltest.Shared(func(testing.TB) persistence.Journal { return s.Open(memory.Config{}) })
}

// submit accepts an order in a fresh opening of a store, and returns whether it is there and what was answered.
func submit(t *testing.T, s *memory.Store, faults memory.Faults) (there bool, err error) {
	t.Helper()
	j := s.Open(memory.Config{Node: "n", Faults: faults})
	done := make(chan error, 1)
	c := journaltest.Acceptance(string(messages.NewOrderID()))
	c.Done = func(err error) { done <- err }
	j.Commit(c)
	err = <-done
	if closeErr := j.Close(); closeErr != nil {
		t.Error(closeErr)
	}
	other := s.Open(memory.Config{})
	_, findErr := other.Find(t.Context(), c.ID)
	if closeErr := other.Close(); closeErr != nil {
		t.Error(closeErr)
	}
	return findErr == nil, err
}

func TestScript(t *testing.T) {
	t.Parallel()
	s := memory.NewStore()
	for _, test := range []struct {
		fault memory.Fault
		want  error
		there bool
	}{
		{memory.None, nil, true},
		{memory.Conflict, persistence.ErrConflict, false},
		{memory.Unavailable, persistence.ErrUnavailable, false},
		{memory.UnknownDone, persistence.ErrUnknown, true},
		{memory.UnknownLost, persistence.ErrUnknown, false},
		{memory.Fence, nil, true}, // To accept is nobody's right.
	} {
		if there, err := submit(t, s, memory.Script(test.fault)); !errors.Is(err, test.want) || there != test.there {
			t.Errorf("fault %d: %v, and the order is there: %t", test.fault, err, there)
		}
	}
	j := s.Open(memory.Config{Faults: memory.Script(memory.Fence)})
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	claimed, err := j.Claim(t.Context(), []persistence.Holding{{}})
	if err != nil || len(claimed) != 1 {
		t.Fatal(claimed, err)
	}
	done := make(chan error, 2)
	c := journaltest.Acceptance("fenced")
	c.Partition, c.Row.Partition, c.Epoch, c.Done = 0, 0, claimed[0].Epoch, func(err error) { done <- err }
	j.Commit(c)
	j.Check(claimed[0], func(err error) { done <- err })
	for range 2 {
		if err := <-done; !errors.Is(err, persistence.ErrIncarnationFenced) {
			t.Errorf("who is fenced in the middle of a batch is answered %v", err)
		}
	}
}

// Chance has each fault come as often as it should, and the same with the same seed.
func TestRandom(t *testing.T) {
	t.Parallel()
	odds := memory.Odds{Conflict: 0.1, Fence: 0.1, Unavailable: 0.1, UnknownDone: 0.1, UnknownLost: 0.1, Read: 0.5}
	const calls = 10_000
	run := func(seed uint64) (all []memory.Fault) {
		f := memory.Random(seed, odds)
		for range calls {
			all = append(all, f(&persistence.Commit{}), f(nil))
		}
		return all
	}
	counts := map[memory.Fault]int{}
	first, again := run(1), run(1)
	for i, f := range first {
		if again[i] != f {
			t.Fatalf("call %d: %d, then %d", i, f, again[i])
		}
		if i%2 == 0 {
			counts[f]++
		} else if f != memory.None && f != memory.Unavailable {
			t.Fatalf("a read has the fault %d", f)
		}
	}
	for f := memory.Conflict; f <= memory.UnknownLost; f++ {
		if n := counts[f]; n < calls/20 || n > calls/5 {
			t.Errorf("fault %d came %d times", f, n)
		}
	}
}

// While the store is unavailable, nothing can be read from it; then all is there.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	s := memory.NewStore()
	away := true
	j := s.Open(memory.Config{Faults: func(*persistence.Commit) memory.Fault {
		if away {
			return memory.Unavailable
		}
		return memory.None
	}})
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := j.Owners(t.Context()); !errors.Is(err, persistence.ErrUnavailable) {
		t.Errorf("a read is answered %v", err)
	}
	away = false
	if _, err := j.Owners(t.Context()); err != nil {
		t.Error(err)
	}
}
