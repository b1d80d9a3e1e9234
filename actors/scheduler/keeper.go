package scheduler

import (
	"bytes"
	"log/slog"
	"sync"

	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// Catalog tells which definitions have schedules.
type Catalog interface {
	// Scheduled returns the latest version of each name of which some version has a schedule. It may have none itself, or be retired.
	Scheduled() []*journalv1.DefinitionRow
}

// Post sends messages to instances.
type Post interface {
	Ask(by runtime.Owner, e *nodev1.Envelope, done func(*nodev1.Answer))
}

// mostAsked is how many schedules are told something at a time: each is brought to memory for that.
const mostAsked = 16

// Keeper tells schedules what is deployed.
type Keeper struct {
	catalog Catalog
	post    Post
	// here tells whether this node has a partition.
	here func(messages.Partition) bool
	log  *slog.Logger

	mu sync.Mutex
	// told is what schedules were told of the definitions: the hash, by the id of the schedule; empty: to be disarmed.
	told  map[string][]byte
	asked map[string]bool
	// failed is why schedules could not be told something the last time, by their ids.
	failed map[string]string
}

// NewKeeper makes one. here tells whether this node has a partition.
func NewKeeper(c Catalog, p Post, here func(messages.Partition) bool, log *slog.Logger) *Keeper {
	return &Keeper{catalog: c, post: p, here: here, log: log, told: map[string][]byte{}, asked: map[string]bool{}, failed: map[string]string{}}
}

// Tick tells schedules of the partitions that are here what they may not know. It is to be called every second.
func (k *Keeper) Tick() {
	for _, arm := range k.untold() {
		id := messages.OrderID(arm.GetSchedule().GetId())
		k.post.Ask(runtime.Owner{}, &nodev1.Envelope{
			Partition: uint32(messages.PartitionOf(id, "")), OrderId: string(id), Message: &nodev1.Envelope_Arm{Arm: arm},
		}, func(a *nodev1.Answer) { k.answered(arm, a) }) // perhaps before it returns
	}
}

// untold is what some schedules are to be told now.
func (k *Keeper) untold() []*nodev1.Arm {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []*nodev1.Arm
	for _, row := range k.catalog.Scheduled() {
		s := messages.ScheduleOf(row.GetNamespace(), row.GetName())
		if !k.here(messages.PartitionOf(messages.OrderID(s.GetId()), "")) {
			delete(k.told, s.GetId()) // whoever has it tells it, and so does this node when it has it again
			continue
		}
		arm := &nodev1.Arm{Schedule: s}
		if row.GetScheduled() && row.GetRetirement() == nil {
			arm.Definition, arm.DefinitionHash = messages.RefOf(row).String(), row.GetHash()
		}
		if told, is := k.told[s.GetId()]; is && bytes.Equal(told, arm.GetDefinitionHash()) || k.asked[s.GetId()] || len(k.asked) >= mostAsked {
			continue
		}
		k.asked[s.GetId()] = true
		out = append(out, arm)
	}
	return out
}

func (k *Keeper) answered(arm *nodev1.Arm, a *nodev1.Answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := arm.GetSchedule().GetId()
	delete(k.asked, id)
	if f := a.GetFailure(); f != nil {
		if k.failed[id] == f.GetText() { // it is told each second
			return
		}
		k.failed[id] = f.GetText()
		k.log.Warn("a schedule does not know yet which definition is the latest, and is told again",
			"namespace", arm.GetSchedule().GetNamespace(), "name", arm.GetSchedule().GetName(), "definition", arm.GetDefinition(),
			"error", f.GetText())
		return
	}
	k.told[id] = arm.GetDefinitionHash()
	delete(k.failed, id)
}
