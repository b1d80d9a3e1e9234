package cluster

import (
	"github.com/holdfast-run/holdfast/cluster/topology"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// owners is what clients are told of which node owns which partition, or is about to.
type owners struct {
	by        [messages.Partitions]messages.Incarnation
	addresses []string
	// numbers are the places of the members in addresses, from 1.
	numbers map[messages.Incarnation]uint32
	// told is never changed, but replaced; changed is closed then. Nil: nothing is known yet, or not since there are other members.
	told    *orderv1.WatchOwnersResponse
	changed chan struct{}
}

// among says who the members are.
func (o *owners) among(members []topology.Member) {
	o.addresses, o.numbers, o.told = nil, make(map[messages.Incarnation]uint32, len(members)), nil
	for i, m := range members {
		o.addresses = append(o.addresses, m.Announcement.Public)
		o.numbers[m.Incarnation] = uint32(i) + 1
	}
}

// become says who owns each partition; empty: nobody is known to.
func (o *owners) become(by *[messages.Partitions]messages.Incarnation) {
	if len(o.addresses) == 0 || o.told != nil && o.by == *by {
		return
	}
	o.by = *by
	o.told = &orderv1.WatchOwnersResponse{Addresses: o.addresses, Owners: make([]uint32, len(by))}
	for p, who := range by {
		o.told.Owners[p] = o.numbers[who]
	}
	close(o.changed)
	o.changed = make(chan struct{})
}

// Owners returns which node owns which partition, for clients, and a channel that is closed when that has changed; nil: it is not known
// yet. What it returns is not changed.
func (m *Member) Owners() (o *orderv1.WatchOwnersResponse, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.owners.told, m.owners.changed
}
