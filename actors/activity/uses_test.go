package activity

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestUses: what is being used does not go, what goes is not used, and who comes while it is closing keeps it.
func TestUses(t *testing.T) {
	t.Parallel()
	var u uses
	if !u.enter() || u.close() {
		t.Fatal("it was closed while it was used")
	}
	u.leave()
	if !u.close() || !u.enter() || u.end() {
		t.Fatal("who came while it was closing did not keep it")
	}
	if u.leave(); !u.close() {
		t.Fatal("it was not closed again")
	}
	if u.reopen(); u.end() {
		t.Fatal("it ended after it was reopened")
	}
	if !u.close() || !u.end() || u.enter() || u.close() {
		t.Fatal("it did not end")
	}
}

// TestUsesRace: many use it while it is being closed again and again; it ends once, when nobody uses it, and nobody does after.
func TestUsesRace(t *testing.T) {
	t.Parallel()
	for range 200 {
		var u uses
		var using atomic.Int64
		var ended atomic.Bool
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 50 {
					if !u.enter() {
						return
					}
					using.Add(1)
					if ended.Load() {
						t.Error("it is used after its end")
					}
					using.Add(-1)
					u.leave()
				}
			})
		}
		for !u.close() || !u.end() {
			u.reopen()
		}
		ended.Store(true)
		if using.Load() != 0 {
			t.Error("it ended while it was used")
		}
		all.Wait()
	}
}
