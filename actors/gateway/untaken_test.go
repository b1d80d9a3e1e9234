package gateway

import (
	"slices"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
)

// Results are asked for again once a second, and at once when the journal answers for them again; those for which it does not are kept.
func TestUntaken(t *testing.T) {
	t.Parallel()
	away := map[messages.Partition]bool{1: true}
	answers := func(p messages.Partition) bool { return !away[p] }
	var u untaken
	expect := func(what string, all bool, want ...uint64) {
		t.Helper()
		if got := u.take(all, answers); !slices.Equal(got, want) {
			t.Errorf("%s: %v are asked for again, want %v", what, got, want)
		}
	}
	for seq, p := range []messages.Partition{0, 1, 0, 1} {
		u.add(uint64(seq), p)
	}
	expect("within a second", false)
	expect("after a second", true, 0, 2)
	expect("while the journal does not answer", true)
	clear(away)
	u.add(4, 1)
	expect("when it answers again", false, 1, 3)
	expect("a second later", true, 4)
	expect("afterwards", true)
}
