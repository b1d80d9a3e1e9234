package ledger_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// work is what the model knows of a key.
type work struct {
	can     ledger.Ability
	attempt uint32            // asked for last
	stream  ledger.Stream     // that asked last
	open    bool              // queued or executing
	begun   bool              // executing
	maybe   bool              // while open: another process may have started it
	await   bool              // while open: the node has yet to confirm it
	told    bool              // while open: it was announced
	started bool              // by a process that crashed
	final   *adapterv1.Result // once it succeeded or failed for good
	unacked uint64            // number of its held result; 0: none
	handle  *ledger.Work      // while open
	kept    ledger.RecordKind // the last record about it
}

// model checks a ledger's promises, not its code: what is executed, what is answered, what is delivered.
type model struct {
	l      *ledger.Ledger
	now    int64
	keys   map[string]*work
	seq    uint64
	sent   map[uint64]*adapterv1.Result // unacknowledged
	epoch  uint64
	serial int

	listed []string // the keys when some hello was sent
	added  uint64   // Added at that time

	written []ledger.Record // what went to the disk
	durable int             // how many of these a crash can't lose
}

var modelConfig = ledger.Config{Keep: 1 << 30, KeepBytes: 1 << 40, KeepFor: 1 << 60, Durable: true}

func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			l:    ledger.New(modelConfig),
			keys: map[string]*work{}, sent: map[uint64]*adapterv1.Result{},
		}
		t.Repeat(map[string]func(*rapid.T){
			"offer": m.offer, "begin": m.begin, "finish": m.finish, "give up": m.giveUp, "cancel": m.cancel, "ack": m.ack,
			"confirm": m.confirm, "lose": m.lose, "crash": m.crash, "renew": m.renew,
			"deliver": m.deliver, "hello": m.hello, "": m.check,
		})
	})
}

func (m *model) pick(t *rapid.T) (string, *work) {
	key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
	if m.keys[key] == nil {
		m.keys[key] = &work{can: rapid.SampledFrom([]ledger.Ability{ledger.None, ledger.Repeatable, ledger.Recoverable}).Draw(t, "can")}
	}
	m.now += rapid.Int64Range(0, 5).Draw(t, "passed")
	return key, m.keys[key]
}

// known picks a key that was offered.
func (m *model) known(t *rapid.T) (string, *work) {
	key, w := m.pick(t)
	if w.handle == nil {
		t.Skip("not yet offered")
	}
	return key, w
}

func (m *model) offer(t *rapid.T) {
	key, w := m.pick(t)
	task := &adapterv1.Task{
		OrderId: "o", Partition: 3, Activity: "act", Key: key, Attempt: rapid.Uint32Range(1, 4).Draw(t, "attempt"),
		Epoch: rapid.Uint64Range(1, 3).Draw(t, "epoch"), MaybeStarted: rapid.Bool().Draw(t, "maybe"),
		AwaitConfirmation: rapid.Bool().Draw(t, "await"), Alone: rapid.Bool().Draw(t, "alone"),
	}
	stream := ledger.Stream(rapid.Uint32Range(1, 2).Draw(t, "stream"))
	before := *w
	verdict, handle, r := m.l.Offer(task, w.can, stream, m.now)
	if stale := task.GetEpoch() < m.epoch; stale || verdict == ledger.Stale {
		if !stale || verdict != ledger.Stale {
			t.Fatalf("epoch %d after %d: %v", task.GetEpoch(), m.epoch, verdict)
		}
		return
	}
	m.epoch = task.GetEpoch()
	w.attempt, w.stream, w.await = task.GetAttempt(), stream, task.GetAwaitConfirmation() || task.GetAlone()
	if before.open && handle != w.handle {
		t.Fatalf("%s has two works", key)
	}
	w.handle = handle
	w.started = false
	switch {
	case before.started:
		w.maybe = true
		if w.can == ledger.None {
			m.expect(t, verdict, ledger.Send)
			m.answered(t, key, w, r, adapterv1.Outcome_OUTCOME_IN_DOUBT)
			return
		}
		m.expect(t, verdict, ledger.Queue)
		w.open, w.begun = true, false
	case before.open && before.begun:
		m.expect(t, verdict, w.due())
	case before.open:
		w.maybe = w.maybe || task.GetMaybeStarted()
		if w.maybe && w.can == ledger.None {
			m.expect(t, verdict, ledger.Send)
			m.answered(t, key, w, r, adapterv1.Outcome_OUTCOME_IN_DOUBT)
			return
		}
		m.expect(t, verdict, w.due())
	case before.final != nil:
		m.expect(t, verdict, ledger.Send)
		m.answered(t, key, w, r, before.final.GetOutcome())
	case before.unacked != 0 && task.GetAttempt() <= before.attempt:
		m.expect(t, verdict, ledger.Send)
		m.answered(t, key, w, r, r.GetOutcome())
	default:
		delete(m.sent, before.unacked)
		w.unacked, w.maybe = 0, task.GetMaybeStarted()
		if w.maybe && w.can == ledger.None {
			m.expect(t, verdict, ledger.Send)
			m.answered(t, key, w, r, adapterv1.Outcome_OUTCOME_IN_DOUBT)
			return
		}
		m.expect(t, verdict, ledger.Queue)
		w.open, w.begun = true, false
	}
}

// due is what is due when work in progress is asked for again.
func (w *work) due() ledger.Verdict {
	switch {
	case w.await && (w.told || w.begun):
		return ledger.Announce
	case w.told:
		return ledger.Resume
	}
	return ledger.Nothing
}

func (m *model) confirm(t *rapid.T) {
	key, w := m.pick(t)
	attempt := rapid.Uint32Range(1, 4).Draw(t, "attempt")
	maybe := rapid.Bool().Draw(t, "maybe")
	verdict, handle, r := m.l.Confirm(key, attempt, maybe, m.now)
	if !w.open || attempt != w.attempt || w.due() != ledger.Announce {
		m.expect(t, verdict, ledger.Nothing)
		return
	}
	if w.await = false; handle != w.handle {
		t.Fatalf("%s has two works", key)
	}
	if !w.begun && maybe {
		if w.maybe = true; w.can == ledger.None {
			m.expect(t, verdict, ledger.Send)
			m.answered(t, key, w, r, adapterv1.Outcome_OUTCOME_IN_DOUBT)
			return
		}
	}
	m.expect(t, verdict, w.due())
}

// lose ends a stream: what it had not confirmed is unknown again.
func (m *model) lose(t *rapid.T) {
	stream := ledger.Stream(rapid.Uint32Range(1, 2).Draw(t, "stream"))
	gone := map[*ledger.Work]bool{}
	m.l.Lost(stream, func(w *ledger.Work) { gone[w] = true })
	for key, w := range m.keys {
		if lost := w.open && !w.begun && w.await && w.stream == stream; lost != gone[w.handle] {
			t.Fatalf("%s: forgotten %v, want %v", key, !lost, lost)
		} else if lost {
			w.started = w.kept == ledger.Begun
			w.open, w.await, w.told, w.maybe = false, false, false, false
		}
	}
}

func (m *model) begin(t *rapid.T) {
	key, w := m.known(t)
	verdict := m.l.Begin(w.handle)
	switch {
	case !w.open || w.begun:
		m.expect(t, verdict, ledger.Nothing)
		return
	case w.final != nil:
		t.Fatalf("%s is executed again after %v", key, w.final)
	case w.await:
		w.told = true
		m.expect(t, verdict, ledger.Announce)
		return
	case w.maybe && w.can == ledger.Recoverable:
		m.expect(t, verdict, ledger.Recover)
	case w.maybe && w.can == ledger.None:
		t.Fatalf("%s is executed on a guess", key)
	default:
		m.expect(t, verdict, ledger.Execute)
	}
	w.begun, w.told = true, false
	m.write()
	m.durable = len(m.written) // before it is executed
}

func (m *model) finish(t *rapid.T) {
	key, w := m.known(t)
	m.serial++
	r := &adapterv1.Result{
		Outcome:   adapterv1.Outcome(rapid.Int32Range(1, 4).Draw(t, "outcome")),
		Permanent: rapid.Bool().Draw(t, "permanent"), Output: fmt.Append(nil, m.serial),
	}
	m.ended(t, key, w, r, m.l.Finish(w.handle, r, m.now), w.open && w.begun)
}

func (m *model) giveUp(t *rapid.T) {
	key, w := m.known(t)
	r := &adapterv1.Result{Outcome: adapterv1.Outcome_OUTCOME_NOT_DONE}
	m.ended(t, key, w, r, m.l.GiveUp(w.handle, r, m.now), w.open && !w.begun && !w.maybe)
}

func (m *model) ended(t *rapid.T, key string, w *work, r *adapterv1.Result, ok, want bool) {
	if ok != want {
		t.Fatalf("%s: accepted %v, want %v", key, ok, want)
	}
	if ok {
		if stream := w.handle.Stream(); stream != w.stream {
			t.Fatalf("%s: answered on %d, asked on %d", key, stream, w.stream)
		}
		m.answered(t, key, w, r, r.GetOutcome())
	}
}

func (m *model) cancel(t *rapid.T) {
	key, w := m.pick(t)
	attempt := rapid.Uint32Range(1, 4).Draw(t, "attempt")
	verdict, handle, r := m.l.Cancel(key, attempt, 1, m.now)
	switch {
	case w.started && attempt >= w.attempt:
		w.started, w.attempt, w.stream = false, attempt, 1
		m.expect(t, verdict, ledger.Send)
		m.answered(t, key, w, r, adapterv1.Outcome_OUTCOME_IN_DOUBT)
	case !w.open || attempt != w.attempt || !w.begun && w.maybe && !w.await && w.can == ledger.Recoverable:
		m.expect(t, verdict, ledger.Nothing)
	case w.begun:
		m.expect(t, verdict, ledger.Interrupt)
	case w.maybe:
		m.ended(t, key, w, r, verdict == ledger.Send && handle == w.handle, true)
		m.outcome(t, r, adapterv1.Outcome_OUTCOME_IN_DOUBT)
	default:
		m.ended(t, key, w, r, verdict == ledger.Send && handle == w.handle, true)
		m.outcome(t, r, adapterv1.Outcome_OUTCOME_NOT_DONE)
	}
}

func (m *model) ack(t *rapid.T) {
	seq := rapid.Uint64Range(1, m.seq+1).Draw(t, "seq")
	r, held := m.sent[seq]
	if got := m.l.Ack(seq, m.now); got != held {
		t.Fatalf("ack of %d: %v, want %v", seq, got, held)
	}
	if held {
		delete(m.sent, seq)
		m.keys[r.GetKey()].unacked = 0
	}
}

// deliver checks that what is sent again is what is unacknowledged, unchanged.
func (m *model) deliver(t *rapid.T) {
	m.now++
	again := map[uint64]bool{}
	see := func(_ *ledger.Work, r *adapterv1.Result) {
		if want := m.sent[r.GetSeq()]; again[r.GetSeq()] || !proto.Equal(want, r) {
			t.Fatalf("sent again: %v; at first: %v; twice: %v", r, want, again[r.GetSeq()])
		}
		again[r.GetSeq()] = true
	}
	switch rapid.SampledFrom([]string{"by time", "by stream", "by number"}).Draw(t, "how") {
	case "by time":
		m.l.Due(m.now, m.now, see)
	case "by stream":
		m.l.Resend(func(*ledger.Work) bool { return true }, m.now, see)
	case "by number":
		for seq := range m.seq + 2 {
			if w, r := m.l.Again(seq, m.now); r != nil {
				see(w, r)
			}
		}
	}
	if len(again) != len(m.sent) {
		t.Fatalf("%d results are sent again, %d are unacknowledged", len(again), len(m.sent))
	}
}

// hello notes what a hello would tell.
func (m *model) hello(*rapid.T) { m.listed, m.added = m.l.Keys(), m.l.Added() }

func (m *model) check(t *rapid.T) {
	m.write()
	m.l.Resend(func(w *ledger.Work) bool {
		if w.Serial() <= m.added && !slices.Contains(m.listed, w.Key()) {
			t.Fatalf("%s has number %d of %d, and is not among %v", w.Key(), w.Serial(), m.added, m.listed)
		}
		return false
	}, m.now, nil)
	var want []string
	for key, w := range m.keys {
		if w.open || w.started || w.unacked != 0 {
			want = append(want, key)
		}
	}
	got := m.l.Keys()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("keys %v, want %v", got, want)
	}
	open := map[*ledger.Work]bool{}
	m.l.Each(func(w *ledger.Work) { open[w] = true })
	for key, w := range m.keys {
		if w.open != (w.handle != nil && open[w.handle]) {
			t.Fatalf("%s: open %v", key, w.open)
		}
	}
	if m.l.Open() != len(open) {
		t.Fatalf("open %d, want %d", m.l.Open(), len(open))
	}
	if m.l.Held() != len(m.sent) {
		t.Fatalf("held %d, want %v", m.l.Held(), slices.Collect(maps.Keys(m.sent)))
	}
}

// answered checks a result and remembers it.
func (m *model) answered(t *rapid.T, key string, w *work, r *adapterv1.Result, want adapterv1.Outcome) {
	m.outcome(t, r, want)
	if r.GetKey() != key || r.GetOrderId() != "o" || r.GetPartition() != 3 || r.GetActivity() != "act" ||
		r.GetAttempt() != w.attempt {
		t.Fatalf("the result of %s, attempt %d, is %v", key, w.attempt, r)
	}
	if w.final != nil && string(r.GetOutput()) != string(w.final.GetOutput()) {
		t.Fatalf("%s: answered %v after %v", key, r, w.final)
	}
	w.open, w.begun, w.maybe, w.await, w.told = false, false, false, false, false
	if final(r) {
		w.final = r
	}
	if r.GetSeq() == w.unacked {
		if !proto.Equal(m.sent[r.GetSeq()], r) {
			t.Fatalf("%v has the number of %v", r, m.sent[r.GetSeq()])
		}
		return
	}
	if m.seq++; r.GetSeq() != m.seq {
		t.Fatalf("%v has not the number %d", r, m.seq)
	}
	delete(m.sent, w.unacked)
	w.unacked = m.seq
	m.sent[m.seq], _ = proto.Clone(r).(*adapterv1.Result)
}

func (m *model) expect(t *rapid.T, got, want ledger.Verdict) {
	if got != want {
		t.Fatalf("verdict %s, want %s", verdicts[got], verdicts[want])
	}
}

func (m *model) outcome(t *rapid.T, r *adapterv1.Result, want adapterv1.Outcome) {
	if r.GetOutcome() != want {
		t.Fatalf("%v, want outcome %v", r, want)
	}
}

// write takes the ledger's records, as the disk would.
func (m *model) write() {
	for _, r := range m.l.Records() {
		m.written = append(m.written, r)
		m.keys[r.Result.GetKey()].kept = r.Kind
	}
}

// survives tells whether a kind of record is right for what is known, if no record was lost.
func (w *work) survives(kept ledger.RecordKind) bool {
	switch {
	case w.started, w.begun && w.can != ledger.Repeatable:
		return kept == ledger.Begun
	case w.open:
		return true
	case w.final != nil:
		return kept == ledger.Settled || kept == ledger.Ended && w.unacked != 0
	case w.unacked != 0:
		return kept == ledger.Ended
	}
	return kept == 0 || kept == ledger.Forgotten
}

// renew puts a snapshot in the place of all that was written.
func (m *model) renew(*rapid.T) {
	m.write()
	m.written = m.l.Snapshot()
	m.durable = len(m.written)
}

// crash ends the process at any point, and begins another one with what the disk has kept. What was begun is known to be,
// unless what came of it is; what was answered is answered again, if its record was not lost.
func (m *model) crash(t *rapid.T) {
	m.write()
	all := len(m.written)
	m.written = m.written[:rapid.IntRange(m.durable, all).Draw(t, "kept")]
	m.durable = len(m.written)
	last, ended := map[string]ledger.RecordKind{}, map[string]*adapterv1.Result{}
	m.l = ledger.New(modelConfig)
	for _, r := range m.written {
		key := r.Result.GetKey()
		m.l.Replay(r, m.now)
		if last[key] = r.Kind; r.Kind == ledger.Ended {
			ended[key] = r.Result
		}
		if r.Kind == ledger.Begun || r.Kind == ledger.Ended {
			m.keys[key].attempt = r.Result.GetAttempt()
		}
	}
	m.l.Replayed(m.now)
	for key, w := range m.keys {
		kept := last[key]
		if w.begun && w.can != ledger.Repeatable && kept != ledger.Begun {
			t.Fatalf("%s was being executed, and the record kept is %d", key, kept)
		}
		if m.durable == all && !w.survives(kept) {
			t.Fatalf("the record kept of %s is %d: %+v", key, kept, w)
		}
		*w = work{can: w.can, attempt: w.attempt, kept: kept, started: kept == ledger.Begun}
		if r := ended[key]; (kept == ledger.Ended || kept == ledger.Settled) && final(r) {
			w.final = r
		}
	}
	m.sent, m.seq, m.epoch = map[uint64]*adapterv1.Result{}, 0, 0
	m.listed, m.added = nil, 0
	unacknowledged := uint64(0)
	for _, kind := range last {
		if kind == ledger.Ended {
			unacknowledged++
		}
	}
	m.l.Resend(func(*ledger.Work) bool { return true }, m.now, func(_ *ledger.Work, r *adapterv1.Result) {
		m.seq++
		w := m.keys[r.GetKey()]
		if was := ended[r.GetKey()]; w.kept != ledger.Ended || r.GetSeq() != m.seq || r.GetOutcome() != was.GetOutcome() ||
			string(r.GetOutput()) != string(was.GetOutput()) || r.GetOrderId() != "o" || r.GetActivity() != "act" {
			t.Fatalf("after the crash %v is sent; it was %v", r, was)
		}
		w.unacked = r.GetSeq()
		m.sent[r.GetSeq()], _ = proto.Clone(r).(*adapterv1.Result)
	})
	if m.seq != unacknowledged {
		t.Fatalf("%d results are sent after the crash, %d were not acknowledged", m.seq, unacknowledged)
	}
}

func final(r *adapterv1.Result) bool {
	return r.GetOutcome() == adapterv1.Outcome_OUTCOME_SUCCEEDED || r.GetOutcome() == adapterv1.Outcome_OUTCOME_FAILED && r.GetPermanent()
}
