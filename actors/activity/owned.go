package activity

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// tenures are the partitions that this node owns, and who is asked about those that it has taken over lately.
type tenures struct {
	// epochs are those of the partitions that are owned; 0: it is not.
	epochs [messages.Partitions]atomic.Uint64

	mu sync.Mutex
	// began is when the first partition was taken; zero: none was yet.
	began time.Time
	// asked are those for which answers are awaited.
	asked map[messages.Partition]owned
	// lists are the streams whose adapters can be asked.
	lists map[*Stream]struct{}
}

// epoch returns that of a partition; 0: this node does not own it.
func (t *tenures) epoch(p messages.Partition) messages.Epoch {
	return messages.Epoch(t.epochs[p].Load())
}

// open returns those for which answers are awaited still. The lock is held.
func (t *tenures) open(now time.Time) (open []messages.Partition) {
	for p, o := range t.asked {
		if now.Before(o.until) {
			open = append(open, p)
		} else {
			delete(t.asked, p)
		}
	}
	slices.Sort(open)
	return open
}

// Messages to a dispatcher.
type (
	// owned says that this node has taken a partition over, and asks adapters for it until a time; zero: it does not. patient: adapters may
	// be about to connect, as others know of this node for a moment only.
	owned struct {
		partition messages.Partition
		until     time.Time
		patient   bool
	}
	// listed says which keys an adapter has. answered: these are all of the partition.
	listed struct {
		stream   dispatch.StreamID
		keys     dispatch.Listed
		answered bool
	}
)

// Owns says that this node owns a partition from now on, before any of its tasks is offered. The adapters are asked which of them they
// have. Until they have answered, for a bounded time, tasks that were offered before are sent to nobody else.
func (r *Activities) Owns(by runtime.Owner) {
	r.making.Lock() // a dispatcher is made before, and told; or after, and knows
	defer r.making.Unlock()
	t := &r.tenures
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.lists {
		s.await(by) // before its results count as those of an owner
	}
	t.epochs[by.Partition].Store(uint64(by.Epoch))
	now, o := r.parts.Now(), owned{partition: by.Partition}
	if t.began.IsZero() {
		t.began = now
	}
	if len(t.lists) > 0 || r.parts.Others {
		o.until = now.Add(r.parts.Config.TakeOver)
		o.patient = r.parts.Others && now.Sub(t.began) < r.parts.Config.TakeOver
		t.asked[by.Partition] = o
	}
	r.queues.Range(func(_, q any) bool {
		r.tell(q.(*queue).dispatcher, o) //nolint:errcheck,forcetypeassert // nothing else is stored
		return true
	})
	for s := range t.lists {
		s.ask(by)
	}
}

// disowned notes that this node does not own a partition any more.
func (r *Activities) disowned(p messages.Partition) {
	t := &r.tenures
	t.epochs[p].Store(0)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.asked, p)
	for s := range t.lists {
		s.leave(p)
	}
}

// enter has a stream be asked from now on, also about what was asked of others a moment ago.
func (r *Activities) enter(s *Stream) {
	t := &r.tenures
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lists[s] = struct{}{}
	for _, p := range t.open(r.parts.Now()) {
		by := runtime.Owner{Partition: p, Epoch: t.epoch(p)}
		s.await(by)
		s.ask(by)
	}
}

func (r *Activities) exit(s *Stream) {
	t := &r.tenures
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.lists, s)
}

// asking returns the partitions for which answers are awaited, and until when.
func (r *Activities) asking() (asked []owned) {
	t := &r.tenures
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.open(r.parts.Now()) {
		asked = append(asked, t.asked[p])
	}
	return asked
}

func (s *Stream) ask(by runtime.Owner) {
	s.adapter.SendOwned(&adapterv1.Owned{Partition: uint32(by.Partition), Epoch: uint64(by.Epoch)})
}

// await notes that the adapter is about to be asked for a partition.
func (s *Stream) await(by runtime.Owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unanswered[by.Partition] = by.Epoch
}

// leave forgets what the adapter has of a partition that this node has lost: whoever owns it next asks for it.
func (s *Stream) leave(p messages.Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.unanswered, p)
	for key, x := range s.sent {
		if x.partition == uint32(p) {
			delete(s.sent, key)
		}
	}
	for key, x := range s.listed {
		if x.partition == int(p) {
			delete(s.listed, key)
		}
	}
}

// listing is that an adapter has said that it has a key.
type listing struct {
	partition int
	at        time.Time
}

// anywhere stands for the partition of a key that the hello lists: it is not known.
const anywhere = -1

// List takes the adapter's word which keys it has. It returns false if it has listed too many.
func (s *Stream) List(l *adapterv1.Listing) bool {
	p := messages.Partition(l.GetPartition()) //nolint:gosec // it is compared below
	if !s.lists || l.GetPartition() >= messages.Partitions {
		s.refuse("listing", "", "", "its hello does not say that it lists, or there is no such partition")
		return true
	}
	byActivity := len(l.GetActivities()) == len(l.GetKeys())
	if !byActivity && len(l.GetKeys())*len(s.offers) > mostLooks || s.keys.list(l.GetKeys()) != nil {
		return false
	}
	now := s.all.parts.Now()
	s.mu.Lock()
	for _, key := range l.GetKeys() {
		s.listed[key] = listing{int(p), now}
	}
	epoch, asked := s.unanswered[p]
	answered := asked && uint64(epoch) == l.GetEpoch() && !l.GetMore()
	if answered {
		delete(s.unanswered, p)
	}
	s.mu.Unlock()
	all := dispatch.Listed{Keys: l.GetKeys(), Partition: p}
	if !byActivity { // any may be of any
		for _, a := range s.offers {
			s.all.tell(a.dispatcher, &listed{stream: s.id, keys: all, answered: answered})
		}
		return true
	}
	of := map[string][]string{}
	for i, key := range l.GetKeys() {
		of[l.GetActivities()[i]] = append(of[l.GetActivities()[i]], key)
	}
	for name, a := range s.offers {
		if keys := of[name]; answered || len(keys) > 0 {
			s.all.tell(a.dispatcher, &listed{stream: s.id, keys: dispatch.Listed{Keys: keys, Partition: p, Own: true}, answered: answered})
		}
	}
	return true
}

// mostLooks is how many keys a listing may have that does not tell their activities, for all activities of the adapter together: each
// looks at all.
const mostLooks = 1_000_000
