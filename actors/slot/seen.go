package slot

import (
	"crypto/sha256"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// keyOf is what an event is known by: its source and id.
func keyOf(e *workflow.Event) (k seenKey) {
	sum := sha256.Sum256([]byte(e.Source() + "\x00" + e.ID()))
	copy(k[:], sum[:])
	return k
}
