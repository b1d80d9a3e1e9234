package recorder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/actors/audit"
	"github.com/holdfast-run/holdfast/messages/auditv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Recorder adds to the chain of a node. Its methods may be called by many goroutines at once.
type Recorder struct {
	Config
	Deps

	queue    chan request
	refused  refusals
	stopping chan struct{}
	ended    chan struct{}

	// end is the end of the chain, as far as is known; known tells that it is. opened: this life of the node has said that it goes on with
	// the chain. They belong to the loop; mu is for who asks for the head.
	mu     sync.Mutex
	end    audit.Chain
	known  bool
	opened bool
	// signed is the last entry that signs the chain, told the last whose head was logged, trimmed when old entries were looked for.
	signed, told uint64
	trimmed      time.Time
}

// request is an entry that is to be added.
type request struct {
	entry *auditv1.Entry
	done  chan<- answer
}

type answer struct {
	sequence uint64
	err      error
}

const (
	// queued is how many requests may wait; who comes then waits until there is room.
	queued = 1024
	// batch is how many entries are one write at the most.
	batch = 256
	// writeWithin is how long one write may take.
	writeWithin = 10 * time.Second
	// stopWithin is how long the last entries may take to be written.
	stopWithin = 3 * time.Second
	// refusedEvery is for how long refusals are counted before the counts are written.
	refusedEvery = time.Minute
	// trimEvery is how often old entries are looked for.
	trimEvery = time.Hour
)

// ErrStopped: the node stops.
var ErrStopped = errors.New("the audit has ended, as the node stops")

// Start makes a recorder, and has it go on with its chain. It must be stopped.
func Start(c Config, d Deps) *Recorder {
	r := &Recorder{
		Config: c.withDefaults(), Deps: d, queue: make(chan request, queued), stopping: make(chan struct{}), ended: make(chan struct{}),
	}
	r.refused.most, r.refused.wake = r.Refusals, make(chan struct{}, 1)
	go r.loop()
	return r
}

// Stop writes what there is, signs it, and ends. Call it once, when nothing is to be added any more.
func (r *Recorder) Stop() {
	close(r.stopping)
	<-r.ended
}

// Begin notes that a change is about to be made, and returns by what it is ended. If it fails, the change must not be made.
func (r *Recorder) Begin(ctx context.Context, b *auditv1.Begun) (uint64, error) {
	return r.add(ctx, &auditv1.Entry{Kind: &auditv1.Entry_Begun{Begun: b}})
}

// End notes what came of a change.
func (r *Recorder) End(ctx context.Context, e *auditv1.Ended) error {
	_, err := r.add(ctx, &auditv1.Entry{Kind: &auditv1.Entry_Ended{Ended: e}})
	return err
}

func (r *Recorder) add(ctx context.Context, e *auditv1.Entry) (uint64, error) {
	done := make(chan answer, 1)
	select {
	case r.queue <- request{e, done}:
	case <-r.stopping:
		return 0, ErrStopped
	case <-ctx.Done():
		return 0, fmt.Errorf("add to the audit: %w", context.Cause(ctx))
	}
	select {
	case a := <-done:
		return a.sequence, a.err
	case <-r.ended:
		return 0, ErrStopped
	case <-ctx.Done():
		return 0, fmt.Errorf("add to the audit: %w", context.Cause(ctx))
	}
}

// Refused counts that somebody was refused, and never blocks.
func (r *Recorder) Refused(what string, who *auditv1.Caller, why string) {
	r.refused.add(what, who, why)
}

// loop adds what there is until the recorder is stopped.
func (r *Recorder) loop() {
	defer close(r.ended)
	sign, minute := time.NewTicker(r.Sign), time.NewTicker(refusedEvery)
	defer sign.Stop()
	defer minute.Stop()
	r.look()
	for {
		select {
		case first := <-r.queue:
			r.answer(r.gather(first))
		case <-r.refused.wake:
			r.tellRefused(false)
		case <-minute.C:
			r.tellRefused(true)
		case <-sign.C:
			r.look()
		case <-r.stopping:
			r.finish()
			return
		}
	}
}

// gather takes what waits beside a first request.
func (r *Recorder) gather(first request) []request {
	all := []request{first}
	for len(all) < batch {
		select {
		case next := <-r.queue:
			all = append(all, next)
		default:
			return all
		}
	}
	return all
}

// answer adds what was asked for, and tells what came of it.
func (r *Recorder) answer(all []request) {
	entries := make([]*auditv1.Entry, 0, len(all))
	for _, q := range all {
		entries = append(entries, q.entry)
	}
	err := r.write(writeWithin, entries...)
	for _, q := range all {
		q.done <- answer{sequence: q.entry.GetSequence(), err: err}
	}
}

// finish adds what waits, and signs all.
func (r *Recorder) finish() {
	for len(r.queue) > 0 {
		r.answer(r.gather(<-r.queue))
	}
	r.tellRefused(true)
	r.sign(stopWithin)
}

// look does what the clock asks for.
func (r *Recorder) look() {
	if !r.opened || !r.known {
		if err := r.write(writeWithin); err != nil {
			r.Log.Warn("the audit can't be written: no change can be made by operators", "error", err)
			return
		}
	}
	r.sign(writeWithin)
	if now := r.Now(); r.Keep > 0 && now.Sub(r.trimmed) >= trimEvery {
		r.trimmed = now
		if err := r.trim(now); err != nil {
			r.Log.Warn("old entries of the audit stay for now", "error", err)
		}
	}
}

// sign signs the head of the chain, if there is something new, and logs it.
func (r *Recorder) sign(within time.Duration) {
	if !r.known || r.end.Sequence == r.told {
		return
	}
	if len(r.Key) > 0 && r.end.Sequence != r.signed {
		if err := r.write(within, &auditv1.Entry{Kind: &auditv1.Entry_Signed{}}); err != nil {
			r.Log.Warn("the head of the audit can't be signed", "error", err)
			return
		}
	}
	r.told = r.end.Sequence
	h := r.head(r.end)
	r.Log.Info("head of the audit", "head", h.Text())
}

// head returns the head of the chain that ends so, signed if there is a key.
func (r *Recorder) head(end audit.Chain) audit.Head {
	h := audit.HeadOf(end, max(r.Now().UnixNano(), end.At))
	if len(r.Key) > 0 {
		h.Sign(r.Key)
	}
	return h
}

// attempts is how often the end of the chain is read anew for one write.
const attempts = 4

// write adds entries to the chain.
func (r *Recorder) write(within time.Duration, entries ...*auditv1.Entry) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := persistence.ErrConflict
	for range attempts {
		if !errors.Is(err, persistence.ErrConflict) {
			break
		}
		if err = r.find(ctx); err == nil {
			err = r.append(ctx, entries)
		}
	}
	return err
}

// find reads the end of the chain, unless it is known.
func (r *Recorder) find(ctx context.Context) error {
	if r.known {
		return nil
	}
	chains, err := r.Journal.AuditChains(ctx)
	if err != nil {
		return fmt.Errorf("look for the end of the audit: %w", err)
	}
	end := audit.Chain{Name: r.Chain}
	i := slices.IndexFunc(chains, func(c persistence.AuditChain) bool { return c.Name == r.Chain })
	if i >= 0 {
		last, err := r.Journal.AuditEntries(ctx, r.Chain, chains[i].Last, 1)
		if err != nil {
			return fmt.Errorf("read the end of the audit: %w", err)
		}
		if len(last) != 1 {
			return fmt.Errorf("%w: the end of the audit has moved", persistence.ErrConflict)
		}
		end, err = audit.After(last[0].Value)
		if err != nil || end.Name != r.Chain || end.Sequence != last[0].Sequence {
			r.Log.Error("the last entry of the audit was changed: the chain goes on behind it, and can't be verified there",
				"chain", r.Chain, "entry", last[0].Sequence, "error", err)
			end = audit.Chain{Name: r.Chain, Sequence: last[0].Sequence}
			copy(end.Hash[:], last[0].Value)
		}
	}
	r.set(end, true)
	return nil
}

// append adds entries behind the end that is known, and before them that the node goes on with the chain, if that was not said.
func (r *Recorder) append(ctx context.Context, entries []*auditv1.Entry) error {
	if !r.opened {
		opening := []*auditv1.Entry{{Kind: &auditv1.Entry_Opened{Opened: &auditv1.Opened{Version: r.Version}}}}
		if len(r.Key) > 0 {
			opening = append(opening, &auditv1.Entry{Kind: &auditv1.Entry_Signed{}})
		}
		entries = append(opening, entries...)
	}
	if len(entries) == 0 {
		return nil
	}
	end, now := r.end, r.Now().UnixNano()
	values, signed := make([][]byte, 0, len(entries)), r.signed
	for _, e := range entries {
		at := max(now, end.At)
		if _, signs := e.GetKind().(*auditv1.Entry_Signed); signs {
			h := audit.HeadOf(end, at)
			h.Sign(r.Key)
			e.Kind = &auditv1.Entry_Signed{Signed: &auditv1.Signed{Key: h.Key, Signature: h.Signature}}
			signed = h.Sequence + 1
		}
		e.Incarnation = r.Incarnation
		value, err := end.Next(e, at)
		if err != nil {
			return err
		}
		values = append(values, value)
	}
	if err := r.Journal.AppendAudit(ctx, r.Chain, r.end.Sequence+1, values); err != nil {
		r.set(audit.Chain{}, false)
		return fmt.Errorf("add to the audit: %w", err)
	}
	r.opened, r.signed = true, signed
	r.set(end, true)
	return nil
}

func (r *Recorder) set(end audit.Chain, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end, r.known = end, known
}

var errUnknown = fmt.Errorf("the end of the audit is not known now: %w", persistence.ErrUnavailable)

// Head returns the head of the node's chain in its text form.
func (r *Recorder) Head() (string, error) {
	r.mu.Lock()
	end, known := r.end, r.known
	r.mu.Unlock()
	if !known || end.Sequence == 0 {
		return "", errUnknown
	}
	h := r.head(end)
	return h.Text(), nil
}
