package cluster

import (
	"maps"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// reach finds out when a database of the journal answers other nodes, and not this one: they are then to take over what is here. It knows
// no clock and does nothing.
type reach struct {
	// told is what the other members have told last.
	told map[messages.Incarnation]answering
	// alone is since when a database has answered others, and not this node; none: that is not so.
	alone map[int]time.Time
}

// answering are the databases that answer a node, and when it has told so.
type answering struct {
	shards []uint32
	at     time.Time
}

// toldFor is how long it counts what another node has told. It tells that anew every second.
const toldFor = 3 * tellEvery

// keep forgets what those have told who are not members any more.
func (r *reach) keep(members []messages.Incarnation) {
	maps.DeleteFunc(r.told, func(who messages.Incarnation, _ answering) bool { return !slices.Contains(members, who) })
}

// step looks at a database, and returns for how long it has answered others and not this node.
func (r *reach) step(shard int, answers bool, now time.Time) time.Duration {
	if answers || !r.elsewhere(shard, now) {
		delete(r.alone, shard)
		return 0
	}
	since, is := r.alone[shard]
	if !is {
		since = now
		r.alone[shard] = since
	}
	return now.Sub(since)
}

// elsewhere tells whether a database answers any other member.
func (r *reach) elsewhere(shard int, now time.Time) bool {
	for _, by := range r.told {
		if now.Sub(by.at) < toldFor && slices.Contains(by.shards, uint32(shard)) { //nolint:gosec // there are few
			return true
		}
	}
	return false
}
