package partition

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/supervision"
)

// Ownership has this node own the partitions that its placement wants: it is the shell round their lifecycles.
type Ownership struct {
	parts *Parts
	pid   *actor.PID
	// homes are the partitions that are here, by number. The slice is replaced, never changed.
	homes atomic.Pointer[[messages.Partitions]*home]
	// unready is how many partitions are wanted, and not owned yet; tooNew how many of these this version can't read.
	unready, tooNew atomic.Int64
	// swept is behind which order of the intake the next sweep looks; zero: from the first. Only Sweep uses it.
	swept messages.Handle
}

// Messages to the ownership's actor.
type (
	// step is what has happened to a partition.
	step struct {
		partition messages.Partition
		in        Input
	}
	steps []step
)

// NewOwnership makes the ownership of a node. It owns nothing until it is wanted.
func NewOwnership(p *Parts) *Ownership {
	p.reading = make(chan struct{}, recoveryReads)
	o := &Ownership{parts: p}
	o.homes.Store(new([messages.Partitions]*home))
	return o
}

// Start begins. A failure of it ends the process.
func (o *Ownership) Start(guardian actor.SupervisorStrategy) {
	p := o.parts
	loop := p.Watchdog.Register("ownership", p.Config.StuckAfter)
	box := runtime.Mailbox{Bound: p.Config.Mailbox, Whose: "ownership", Courier: p.Courier}
	o.pid = p.System.Root.Spawn(actor.PropsFromProducer(func() actor.Actor {
		return &owner{Ownership: o, loop: loop, timing: Timing{
			Retry: func(n int) time.Duration { return p.Config.Retry.Next(n, rand.Float64) }, Drain: p.Config.Drain,
		}}
	}, actor.WithMailbox(box.New), actor.WithDispatcher(p.Workers), actor.WithGuardian(guardian)))
}

func (o *Ownership) tell(m any) { o.parts.System.Root.Send(o.pid, m) }

func each(ps []messages.Partition, in Input) steps {
	out := make(steps, 0, len(ps))
	for _, p := range ps {
		out = append(out, step{p, in})
	}
	return out
}

// Take has this node own partitions from now on.
func (o *Ownership) Take(ps ...messages.Partition) { o.tell(each(ps, Want{})) }

// Give has this node give partitions up: others are to own them.
func (o *Ownership) Give(ps ...messages.Partition) { o.tell(each(ps, Unwant{})) }

// awaiting is closed when all that came before was done.
type awaiting chan struct{}

// AwaitClaims waits until the partitions that were taken before, if any, were claimed, as far as nobody else has them.
func (o *Ownership) AwaitClaims(ctx context.Context) error {
	claimed := make(awaiting)
	o.tell(claimed)
	select {
	case <-claimed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("claim partitions: %w", context.Cause(ctx))
	}
}

// Tick is to be called every second. idle: orders with nothing to do may leave memory.
func (o *Ownership) Tick(idle bool) {
	o.tell(steps{})
	for _, h := range o.homes.Load() {
		switch {
		case h == nil:
		case idle:
			h.Tell(sweep{})
		default:
			h.Tell(second{})
		}
	}
}

// Unready returns how many partitions are wanted and not owned yet, or their open orders not read.
func (o *Ownership) Unready() int { return int(o.unready.Load()) }

// TooNew returns how many of those partitions have records that this version can't read: it does not claim them again.
func (o *Ownership) TooNew() int { return int(o.tooNew.Load()) }

// Stop stops all partitions at once, and returns when they have. What is under way is taken up by whoever owns them next.
func (o *Ownership) Stop() {
	o.stop("ownership", o.pid) // it opens no more of them
	var all sync.WaitGroup
	for _, h := range o.homes.Load() {
		if h != nil {
			h.closed.Store(true)
			all.Go(func() {
				o.stop(fmt.Sprintf("partition %d", h.by.Partition), h.pid)
				h.loop.Close()
			})
		}
	}
	all.Wait()
}

func (o *Ownership) stop(name string, pid *actor.PID) {
	if err := o.parts.System.Root.StopFuture(pid).Wait(); err != nil {
		o.parts.Log.Warn("actor did not stop in time", "actor", name, "error", err)
	}
}

// owner is the actor.
type owner struct {
	*Ownership

	loop   *supervision.Loop
	timing Timing
	cycles [messages.Partitions]Lifecycle
	// seconds counts the seconds.
	seconds int
}

// Receive implements actor.Actor.
func (o *owner) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case step:
		o.steps(ctx, steps{m})
	case steps:
		if len(m) == 0 { // a second is over
			for p := range o.cycles {
				m = append(m, step{messages.Partition(p), Tick{}})
			}
			m = append(m, o.look()...)
		}
		o.steps(ctx, m)
	case awaiting:
		close(m)
	case *actor.Terminated:
		for p, h := range o.homes.Load() {
			if h != nil && h.pid.Equal(m.Who) {
				o.gone(ctx, messages.Partition(p), h)
			}
		}
	case *actor.Stopping:
		o.loop.Close()
		return
	default:
		return
	}
	o.loop.Beat()
}

// steps takes the lifecycles on, and does what they call for. What is to be claimed is claimed together.
func (o *owner) steps(ctx actor.Context, in steps) {
	for len(in) > 0 {
		var claims []messages.Partition
		for _, s := range in {
			l := &o.cycles[s.partition]
			if f, fenced := s.in.(Fenced); fenced && l.Has(f.Epoch) {
				o.parts.Placement.Lost(s.partition)
			}
			before := l.Phase
			out := l.Step(s.in, o.parts.Now(), o.timing)
			if before >= Recovering && l.Phase < Recovering { // perhaps to be claimed again, which need not succeed
				o.parts.Placement.Left(s.partition)
			}
			switch out {
			case Nothing:
			case Claim:
				claims = append(claims, s.partition)
			case Open:
				o.open(ctx, s.partition, l.Epoch)
			case Drain:
				o.homes.Load()[s.partition].Tell(drain{})
			case Close:
				o.close(ctx, s.partition)
			case Release:
				o.release(s.partition, l.Epoch)
			}
		}
		in = o.claim(claims)
	}
	o.count()
}

// count counts what is left to do.
func (o *owner) count() {
	unready, tooNew := int64(0), int64(0)
	for p := range o.cycles {
		if l := &o.cycles[p]; !l.Ready() {
			unready++
			if l.tooNew {
				tooNew++
			}
		}
	}
	o.unready.Store(unready)
	o.tooNew.Store(tooNew)
}

// lookEvery is how many seconds may go by until a node learns that it was fenced of which nothing commits.
const lookEvery = 5

// look looks whether the partitions that are here are owned by others. It does so now and then: a partition in which nothing happens
// commits nothing, and so would never learn that it was fenced.
func (o *owner) look() (fenced steps) {
	if o.seconds++; o.seconds%lookEvery != 0 || !o.answers() {
		return nil
	}
	var owners []persistence.Owner
	o.parts.Workers.Blocking(func() {
		ctx, cancel := context.WithTimeout(context.Background(), o.parts.Config.ReadTimeout)
		defer cancel()
		owners, _ = o.owners(ctx) // it is noted, and looked again
	})
	for p, now := range owners {
		l := &o.cycles[p]
		if !now.Unread && l.Phase >= Recovering && l.Phase < Closing && (now.Epoch != l.Epoch || now.Fenced) {
			fenced = append(fenced, step{messages.Partition(p), Fenced{l.Epoch}})
		}
	}
	return fenced
}

// answers tells whether the journal answers for any partition.
func (o *owner) answers() bool {
	for p := range o.cycles {
		if o.parts.Health.Available(messages.Partition(p)) {
			return true
		}
	}
	return false
}

// owners reads who owns the partitions, and notes for which of them the journal answers.
func (o *owner) owners(ctx context.Context) ([]persistence.Owner, error) {
	owners, err := o.parts.Claims.Owners(ctx)
	for p := range o.cycles {
		told := err
		if err == nil && owners[p].Unread {
			told = persistence.ErrUnavailable
		}
		o.parts.Health.Note(messages.Partition(p), told)
	}
	return owners, err
}

// claim asks the journal for partitions, all at once. Those for which it does not answer now are left for later.
func (o *owner) claim(ps []messages.Partition) (out steps) {
	asked := make([]messages.Partition, 0, len(ps))
	for _, p := range ps {
		if o.parts.Health.Available(p) {
			asked = append(asked, p)
		}
	}
	var claimed []persistence.Holding
	var unread []messages.Partition
	var err error
	if len(asked) > 0 {
		o.parts.Workers.Blocking(func() { claimed, unread, err = o.claimAll(asked) })
	}
	switch {
	case errors.Is(err, persistence.ErrIncarnationFenced):
		o.parts.Fatal(err) // the node is to come back as another incarnation
	case err != nil:
		o.parts.Log.Warn("partitions can't be claimed now", "partitions", len(asked)-len(claimed), "error", err)
	case len(unread) > 0:
		o.parts.Log.Warn("partitions can't be claimed now: the journal does not answer for them", "partitions", len(unread))
	}
	for _, p := range ps {
		i := slices.IndexFunc(claimed, func(h persistence.Holding) bool { return h.Partition == p })
		switch {
		case i >= 0:
			out = append(out, step{p, Claimed{claimed[i].Epoch}})
		case !slices.Contains(asked, p), slices.Contains(unread, p): // it was not tried, and nothing is known that was not before
			out = append(out, step{p, NotClaimed{Unsure: o.cycles[p].unsure}})
		default:
			out = append(out, step{p, NotClaimed{Unsure: err != nil}}) // without an error another node owns it
		}
	}
	return out
}

// claimAll claims partitions, but for those whose owners can't be read now. Those that it returns as claimed are so, also with an error.
func (o *owner) claimAll(ps []messages.Partition) (claimed []persistence.Holding, unread []messages.Partition, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), o.parts.Config.ReadTimeout)
	defer cancel()
	owners, err := o.owners(ctx)
	if err != nil {
		return nil, ps, fmt.Errorf("read who owns partitions: %w", err)
	}
	seen := make([]persistence.Holding, 0, len(ps))
	for _, p := range ps {
		if owners[p].Unread {
			unread = append(unread, p)
			continue
		}
		seen = append(seen, persistence.Holding{Partition: p, Epoch: owners[p].Epoch})
	}
	if len(seen) == 0 {
		return nil, unread, nil
	}
	o.fenceGone(ctx, seen, owners)
	if claimed, err = o.parts.Claims.Claim(ctx, seen); err != nil {
		o.parts.Health.Note(seen[0].Partition, err) // it says itself of which shard it is
		err = fmt.Errorf("claim partitions: %w", err)
	}
	return claimed, unread, err
}

// fenceGone ends the right to commit of incarnations that own any of the partitions and are gone. What they have under way is made
// before, or never. Where that can't be done, or only in some shards, the journal lets nobody claim what is not free.
func (o *owner) fenceGone(ctx context.Context, seen []persistence.Holding, owners []persistence.Owner) {
	self, fenced := o.parts.Claims.Incarnation(), map[messages.Incarnation]bool{}
	for _, h := range seen {
		p := h.Partition
		who := owners[p].Incarnation
		if owners[p].Free(self) || fenced[who] || !o.parts.Placement.Gone(who) {
			continue
		}
		fenced[who] = true
		o.parts.Log.Info("takes over", "from", who)
		if err := o.parts.Claims.Fence(ctx, who); err != nil {
			o.parts.Health.Note(p, err)
			o.parts.Log.Warn("what an incarnation owns can't be taken over now", "from", who, "error", err)
		}
	}
}

// release tells the journal that anybody may have a partition.
func (o *owner) release(p messages.Partition, epoch messages.Epoch) {
	o.parts.Claims.Release(persistence.Holding{Partition: p, Epoch: epoch}, func(err error) {
		in := Input(Released{epoch})
		if err != nil && !errors.Is(err, persistence.ErrFenced) { // fenced means that another node owns it
			in = NotReleased{epoch}
		}
		o.tell(step{p, in})
	})
}

// open starts the actor of a partition.
func (o *owner) open(ctx actor.Context, p messages.Partition, epoch messages.Epoch) {
	h := &home{
		Parts: o.parts, owner: o.Ownership, by: runtime.Owner{Partition: p, Epoch: epoch}, ready: make(chan struct{}),
		faulted: map[messages.OrderID]time.Time{},
		loop:    o.parts.Watchdog.Register(fmt.Sprintf("partition %d", p), o.parts.Config.StuckAfter),
	}
	h.snapshot.Store(&Snapshot{})
	box := runtime.Mailbox{Bound: o.parts.Config.Mailbox, Whose: "partition", Courier: o.parts.Courier}
	o.parts.Backlogs.Owns(h.by)
	props := actor.PropsFromProducer(func() actor.Actor { return newPartition(h) },
		actor.WithMailbox(box.New), actor.WithDispatcher(o.parts.Workers), actor.WithGuardian(o.parts.Guardian))
	pid, err := o.parts.System.Root.SpawnNamed(props, fmt.Sprintf("partition-%d-%d", p, epoch))
	if err != nil {
		panic(fmt.Errorf("start partition %d: %w", p, err))
	}
	h.pid = pid
	ctx.Watch(pid)
	o.keep(p, h)
	o.parts.Placement.Serve(p, pid)
	o.parts.Lists.Serves(p, true)
	close(h.ready) // it is found by all that it calls for
}

// keep notes that a partition is here; or that it is not, with nil.
func (o *owner) keep(p messages.Partition, h *home) {
	homes := *o.homes.Load()
	homes[p] = h
	o.homes.Store(&homes)
}

// close ends all that hangs on a partition here.
func (o *owner) close(ctx actor.Context, p messages.Partition) {
	h := o.homes.Load()[p]
	o.parts.Placement.Serve(p, nil)
	o.parts.Lists.Serves(p, false)
	h.closed.Store(true)
	o.parts.Post.End(h.by)
	ctx.Stop(h.pid)
}

// gone goes on when the actor of a partition has stopped: whatever its orders have left behind is ended, too.
func (o *owner) gone(ctx actor.Context, p messages.Partition, h *home) {
	if o.cycles[p].Phase != Closing {
		return // the actor has failed too often, and the process is about to end; or this node stops
	}
	o.parts.Post.End(h.by)
	o.parts.Backlogs.Leave(p)
	h.loop.Close()
	h.end()
	o.keep(p, nil)
	o.steps(ctx, steps{{p, Closed{h.by.Epoch}}})
}

// Snapshot is how things stand with the order keys of a partition, as its actor has published it in the last second.
type Snapshot struct {
	// KeysWaiting are the orders that wait for another one of their key, KeysHeld the keys that a faulted order holds, and KeysAge how
	// long the order has waited that has waited longest.
	KeysWaiting, KeysHeld int
	KeysAge               time.Duration
}

// publish publishes the partition's snapshot.
func (p *partition) publish() {
	s := &Snapshot{KeysWaiting: int(p.counts.waiting()), KeysHeld: p.keys.held}
	if since := p.keys.oldest(func(name string) bool { return p.counts.waitFor(name) > 0 }); !since.IsZero() {
		s.KeysAge = p.Now().Sub(since)
	}
	p.snapshot.Store(s)
}

// Status is how the partitions of a node are.
type Status struct {
	Snapshot

	// Open are the orders that have not ended, Suspended those that an operator has suspended, Resident those in memory. Timers are
	// the due times in memory.
	Open, Suspended, Resident, Timers int64
	// ResidentBytes is about what the orders in memory take.
	ResidentBytes int64
}

// Status tells how the partitions are.
func (o *Ownership) Status() Status {
	s := Status{ResidentBytes: o.parts.resident.Load()}
	for _, h := range o.homes.Load() {
		if h == nil {
			continue
		}
		one := h.snapshot.Load()
		s.Resident, s.Timers = s.Resident+h.inMemory.Load(), s.Timers+h.timers.Load()
		s.KeysWaiting, s.KeysHeld, s.KeysAge = s.KeysWaiting+one.KeysWaiting, s.KeysHeld+one.KeysHeld, max(s.KeysAge, one.KeysAge)
		open, suspended := h.counts.totals()
		s.Open, s.Suspended = s.Open+open, s.Suspended+suspended
	}
	return s
}

// Uncounted returns how many orders are to be counted yet: those that recovery will find, and those whose last commit may or may not
// have happened.
func (o *Ownership) Uncounted() (count int) {
	for _, h := range o.homes.Load() {
		if h != nil {
			h.counts.mu.Lock()
			count += len(h.counts.seen) + len(h.counts.unsure)
			h.counts.mu.Unlock()
		}
	}
	return count
}

// Unloadable returns the first orders, by their ids, that could not be loaded when there was something for them, and how many
// there are.
func (o *Ownership) Unloadable(most int) (first []messages.OrderID, count int) {
	for _, h := range o.homes.Load() {
		if h != nil && h.some.Load() {
			first = append(first, h.unloadables()...)
		}
	}
	slices.Sort(first)
	return first[:min(most, len(first))], len(first)
}
