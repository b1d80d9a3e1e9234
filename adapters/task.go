package adapters

import (
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// Task is what an activity function learns about the attempt that it executes, besides its input.
type Task struct {
	// Key identifies the work: the same key is the same work, whatever attempt it comes with. Pass it on to the downstream
	// system as its idempotency key.
	Key string
	// OrderID is the order that the work is for.
	OrderID messages.OrderID
	// Attempt counts the tries, from 1.
	Attempt int
	// Deadline is when to stop trying; the context ends then. Zero: no bound.
	Deadline time.Time
	// Ref is the task's place in its definition, such as /do/2/activate.
	Ref string
	// MaybeStarted tells that another process may have started this work.
	MaybeStarted bool

	job *job
}

// maxNote is the longest note of Progress, in bytes.
const maxNote = 256

// Progress tells the operator that a long activity goes on, in at most 256 bytes; the last note before each heartbeat is
// sent. It extends no deadline.
func (t Task) Progress(note string) {
	if t.job != nil { // a Task that a test has made has no job
		t.job.pool.hub.progress(t.job, clip(note, maxNote))
	}
}

// clip makes a text valid for a protobuf string of at most n bytes.
func clip(s string, n int) string { return messages.Cut(strings.ToValidUTF8(s, "\uFFFD"), n) }
