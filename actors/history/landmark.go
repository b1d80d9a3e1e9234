package history

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

const (
	// landmarkBytes is how many bytes of a history lie at the least between two records that name the tasks entered. Whoever reads from
	// the middle of a history on reads so many bytes more than wanted.
	landmarkBytes = 16 << 10
	// landmarkTask is how many bytes more that is for each task entered: naming them must stay a small part of the history.
	landmarkTask = 1 << 10
)

// Landmark is the latest record of a history that names the tasks entered.
type Landmark struct {
	at    messages.Version // its first version; 0: there is none
	bytes int              // how long the records behind it are, together
}

// pass notes that a record of so many bytes follows.
func (l *Landmark) pass(first messages.Version, entered *journalv1.TasksEntered, bytes int) {
	if entered != nil {
		*l = Landmark{at: first}
		return
	}
	l.bytes += bytes
}

// Record makes the record of a commit, at a feature level, whose events s has. If it is time for it, the record names the tasks
// entered.
func (l *Landmark) Record(level uint32, before messages.Version, events []*journalv1.Event, s *workflow.State) []byte {
	record := appendRecord(nil, s.ID(), &journalv1.Record{
		FeatureLevel: level, Events: events, EnteredAt: uint64(l.at),
	})
	var entered *journalv1.TasksEntered
	if l.bytes+len(record) >= landmarkBytes && !s.Ended() {
		if e := s.Entered(); l.bytes+len(record) >= landmarkBytes+landmarkTask*len(e.GetTasks()) {
			entered = e
			record = appendRecord(record, s.ID(), &journalv1.Record{Entered: entered})
		}
	}
	l.pass(before+1, entered, len(record))
	return record
}

// appendRecord appends a record, or more of one.
func appendRecord(b []byte, id messages.OrderID, r *journalv1.Record) []byte {
	b, err := proto.MarshalOptions{}.MarshalAppend(b, r)
	if err != nil {
		panic(fmt.Sprintf("marshal record of order %s: %v", id, err))
	}
	return b
}
