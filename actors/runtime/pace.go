package runtime

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Heavy is a kind of heavy work: what takes much more than an ordinary step of an order, or is done beside orders.
type Heavy int

// The kinds of heavy work.
const (
	// HeavyEvaluation is what orders decide that evaluate much, or are large.
	HeavyEvaluation Heavy = iota
	// HeavyRequest is the parsing and checking of what clients send that is large, or whose definition checks much.
	HeavyRequest
	// HeavyDefinition is the compiling of definitions.
	HeavyDefinition
	// HeavyRead is reading for clients: orders, lists, histories.
	HeavyRead
	// HeavyConnection is the beginning of connections.
	HeavyConnection
	// HeavyKinds is how many kinds there are.
	HeavyKinds
)

func (h Heavy) String() string {
	return [...]string{"evaluation", "request", "definition", "read", "connection"}[h]
}

// PaceConfig bounds heavy work. Every field must be set.
type PaceConfig struct {
	// Processors is how many processors there are.
	Processors int
	// Share is the part of their time that heavy work gets while other work waits for a processor, more than 0 and at most 1.
	Share float64
	// AtOnce is how many pieces of heavy work of a kind go on at once at most. While other work waits, it is fewer.
	AtOnce [HeavyKinds]int
}

const (
	// HeavyFrom is how much processor time a step takes that is heavy work.
	HeavyFrom = time.Millisecond
	// paceSlice is how much processor time a piece takes before others get a turn, if it can be interrupted.
	paceSlice = 5 * time.Millisecond
	// paceSaved is of how long a time heavy work may use the share later, if it did not use it.
	paceSaved = 100 * time.Millisecond
	// paceOwed is how much processor time heavy work may have used ahead, for each processor; beyond that it is forgotten.
	paceOwed = time.Second
	// paceLook is how long heavy work that waits does so at most before it is looked again whether other work waits for a processor.
	paceLook = 20 * time.Millisecond
)

// Pace has heavy work keep a pace: while other work waits for a processor, it gets no more than a share of their time, however much there
// is of it. What there is, spaces and clients of each kind get alike. Work that was not known to be heavy takes what it needs, and what
// comes later waits for longer.
type Pace struct {
	config PaceConfig
	now    func() time.Time
	thread thread
	// crowded tells whether other work waits for a processor.
	crowded func(now time.Time) bool

	mu   sync.Mutex
	all  flow
	left time.Duration // the processor time that heavy work may use
	at   time.Time     // when that was so
	// busy: other work waits for a processor.
	busy  bool
	ended bool
	timer *time.Timer
	done  [HeavyKinds]PaceDone
}

// PaceDone is what was done of a kind of heavy work.
type PaceDone struct {
	// Used is the processor time, and Waited how long pieces waited, all together. Waits is how often one did.
	Used, Waited time.Duration
	Waits        int64
	// Waiting and Running are how many pieces there are now.
	Waiting, Running int
}

// NewPace makes a pace for the processors of this process. crowded tells whether other work waits for one, and is asked by one goroutine at
// a time; nil: what the Go runtime and the system measure does.
func NewPace(config PaceConfig, crowded func(now time.Time) bool) *Pace {
	if crowded == nil {
		crowded = (&crowd{waits: processorWaits()}).look
	}
	return newPace(config, time.Now, thread{runtime.LockOSThread, runtime.UnlockOSThread, threadTime}, crowded)
}

// thread has a goroutine keep its thread, or give it back, and tells how much processor time the thread has used.
type thread struct {
	keep, giveBack func()
	used           func() time.Duration
}

func newPace(config PaceConfig, now func() time.Time, th thread, crowded func(time.Time) bool) *Pace {
	p := &Pace{config: config, now: now, thread: th, crowded: crowded}
	p.at = now()
	p.left = p.rate(paceSaved)
	return p
}

// Pass lets one piece of heavy work go on. It is for one goroutine, which keeps its thread from when it has it until it leaves.
type Pass struct {
	pace    *Pace
	kind    Heavy
	flow    *flow
	from    time.Duration // what the thread had used when the piece was charged last
	sum     time.Duration // what it was charged
	granted chan struct{} // closed when a pass that waits may go on
}

// Enter returns when a piece of heavy work may go on that is done for a client in a space; each may be empty. The error is why the context
// has ended.
func (p *Pace) Enter(ctx context.Context, kind Heavy, space, client string) (*Pass, error) {
	s, wait := p.ask(kind, space, client)
	if wait == nil {
		s.start()
		return s, nil
	}
	select {
	case <-wait:
		s.start()
		return s, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	if !s.flow.withdraw(s) { // it was just given
		s.flow.end()
	}
	granted := p.serve()
	p.mu.Unlock()
	release(granted)
	return nil, fmt.Errorf("wait for a turn, behind others' %ss: %w", kind, context.Cause(ctx))
}

// Force lets a piece of heavy work go on at once, as it is under way already.
func (p *Pace) Force(kind Heavy, space, client string) *Pass {
	p.mu.Lock()
	s := p.pass(kind, space, client)
	s.flow.begin()
	p.mu.Unlock()
	s.start()
	return s
}

func (p *Pace) pass(kind Heavy, space, client string) *Pass {
	return &Pass{pace: p, kind: kind, flow: p.all.child(kind.String()).child(space).child(client)}
}

// ask makes a pass, and returns what it has to wait for; nil: nothing.
func (p *Pace) ask(kind Heavy, space, client string) (*Pass, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fill() // which forgets who has nothing under way
	s := p.pass(kind, space, client)
	lane := s.flow.parent.parent
	free := p.ended || p.left > 0 && lane.waiting == 0 && p.open(lane) || s.flow.owed() && lane.running < 2*p.config.AtOnce[kind]
	if free {
		s.flow.begin()
		return s, nil
	}
	p.done[kind].Waits++
	return s, p.await(s, false)
}

// await has a pass wait.
func (p *Pace) await(s *Pass, front bool) <-chan struct{} {
	s.granted = make(chan struct{})
	s.flow.await(s, front)
	p.wake()
	return s.granted
}

// open tells whether a further piece of a kind may go on.
func (p *Pace) open(lane *flow) bool {
	for kind := range HeavyKinds {
		if kind.String() == lane.name {
			return lane.running < p.atOnce(kind)
		}
	}
	return false
}

func (p *Pace) atOnce(kind Heavy) int {
	most := p.config.AtOnce[kind]
	if !p.busy {
		return most
	}
	return min(most, max(1, int(math.Ceil(p.config.Share*float64(p.config.Processors)))))
}

// rate is how much processor time heavy work gets in a time.
func (p *Pace) rate(d time.Duration) time.Duration {
	all := d * time.Duration(p.config.Processors)
	if p.busy {
		return time.Duration(float64(all) * p.config.Share)
	}
	return all
}

// fill adds the processor time that heavy work has got meanwhile.
func (p *Pace) fill() {
	now := p.now()
	passed := now.Sub(p.at)
	for kind := range p.done {
		p.done[kind].Waited += passed * time.Duration(p.lane(Heavy(kind)).waiting)
	}
	p.busy = p.crowded(now)
	p.left = min(p.left+p.rate(passed), p.rate(paceSaved))
	p.left = max(p.left, -paceOwed*time.Duration(p.config.Processors))
	p.at = now
	if p.left > 0 && p.all.waiting == 0 {
		p.all.forgive()
	}
}

func (p *Pace) lane(kind Heavy) *flow {
	if f := p.all.children[kind.String()]; f != nil {
		return f
	}
	return &flow{}
}

// serve lets those go on whose turn it is, and returns whom to tell.
func (p *Pace) serve() (granted []*Pass) {
	p.fill()
	for p.left > 0 || p.ended {
		s := p.all.next(func(lane *flow) bool { return p.ended || p.open(lane) })
		if s == nil {
			break
		}
		s.flow.withdraw(s)
		s.flow.begin()
		granted = append(granted, s)
	}
	p.wake()
	return granted
}

// wake has it looked again who may go on, as long as somebody waits.
func (p *Pace) wake() {
	if p.all.waiting == 0 {
		return
	}
	in := paceLook
	if p.left <= 0 {
		in = min(in, time.Duration(float64(-p.left)/float64(max(1, p.rate(time.Second)))*float64(time.Second))+time.Millisecond)
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(in, p.look)
		return
	}
	p.timer.Reset(in)
}

func (p *Pace) look() {
	p.mu.Lock()
	granted := p.serve()
	p.mu.Unlock()
	release(granted)
}

func release(granted []*Pass) {
	for _, s := range granted {
		close(s.granted)
	}
}

func (s *Pass) start() {
	s.pace.thread.keep()
	s.from = s.pace.thread.used()
}

// charge counts what was used since it was charged last. The pace is locked.
func (s *Pass) charge() {
	now := s.pace.thread.used()
	used := max(0, now-s.from)
	s.from = now
	s.sum += used
	s.flow.charge(used)
	s.pace.left -= used
	s.pace.done[s.kind].Used += used
}

// Show is to be called again and again while the piece goes on, and it may be interrupted: once it has gone on for long, others get a turn.
// wait is called to wait until it may go on.
func (s *Pass) Show(wait func(<-chan struct{})) {
	if s.pace.thread.used()-s.from < paceSlice {
		return
	}
	p := s.pace
	p.mu.Lock()
	s.charge()
	s.flow.end()
	line := p.await(s, true)
	granted := p.serve()
	now := slices.Contains(granted, s)
	if !now {
		p.done[s.kind].Waits++
	}
	p.mu.Unlock()
	release(granted)
	if !now {
		wait(line)
	}
}

// Count counts processor time that others use because of the piece. Nil: there is none.
func (s *Pass) Count(used time.Duration) {
	if s != nil {
		s.from -= used
	}
}

// WriteTakes is about how much processor time it takes in all to write so many bytes to a journal, to merge them there, and to tell of
// them.
func WriteTakes(bytes int) time.Duration { return time.Duration(bytes) * 8 }

// Leave ends the piece of work. Nil: there was none.
func (s *Pass) Leave() {
	if s == nil {
		return
	}
	p := s.pace
	p.mu.Lock()
	s.charge()
	s.flow.end()
	granted := p.serve()
	p.mu.Unlock()
	p.thread.giveBack()
	release(granted)
}

// Used is how much processor time the piece took, once it was left. Nil: none.
func (s *Pass) Used() time.Duration {
	if s == nil {
		return 0
	}
	return s.sum
}

// Done tells what was done of each kind of heavy work, and whether other work waits for a processor, as far as was looked.
func (p *Pace) Done() (done [HeavyKinds]PaceDone, busy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fill()
	for kind := range HeavyKinds {
		p.done[kind].Waiting, p.done[kind].Running = p.lane(kind).waiting, p.lane(kind).running
	}
	return p.done, p.busy
}

// End lets all heavy work go on at once from now on: the node stops.
func (p *Pace) End() {
	p.mu.Lock()
	p.ended = true
	granted := p.serve()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	release(granted)
}
