package slot_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/actors/slot"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

var began = time.Unix(1_000_000, 0).UTC()

// TestModel has random listeners come and go, random events published and random answers given, in batches of which some can't be
// committed. After each commit, the state must be what its history makes, read from the first event or from the last summary on, and what a
// plain model of a slot says. In the end, each event was taken or has expired, and nothing is left.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		for range rapid.IntRange(0, 40).Draw(t, "turns") {
			m.turn(rapid.IntRange(1, 4).Draw(t, "batch"), m.draw)
		}
		m.finish()
	})
}

// model is a slot, and what is known to have happened in it.
type model struct {
	t      *rapid.T
	limits slot.Limits
	now    time.Time
	plain  *plain
	live   *slot.State
	// history has a record for each commit; versions are those of the first events of these.
	history  [][]byte
	versions []messages.Version
	version  messages.Version
	summary  messages.Version // of the last summary; 0: there is none
	row      *journalv1.OrderRow
	open     *journalv1.OpenRow
	// offered is the event that a listener was asked about last; if it is offered, it need not be again.
	offered map[uint32]uint64
	witness witness
	ids     int
	sure    bool // commits do not fail any more
}

func newModel(t *rapid.T) *model {
	limits := slot.Limits{
		Listeners: rapid.IntRange(1, 6).Draw(t, "listeners"), Events: rapid.IntRange(1, 6).Draw(t, "events"),
		Bytes:    rapid.IntRange(100, 1000).Draw(t, "bytes"),
		Seen:     rapid.IntRange(1, 6).Draw(t, "seen"),
		Remember: rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second, time.Hour}).Draw(t, "remember"),
		Summary:  rapid.IntRange(3, 20).Draw(t, "summary"),
	}
	return &model{
		t: t, limits: limits, now: began, plain: &plain{limits: limits}, live: slot.New(limits), offered: map[uint32]uint64{},
		witness: newWitness(t),
	}
}

// draw makes a command, sensible or not, perhaps some time later.
func (m *model) draw() slot.Command {
	// The clock of who decides next may be behind that of who decided last.
	pauses := []time.Duration{0, 0, 0, -2 * time.Second, time.Millisecond, time.Second, 7 * time.Second, time.Minute}
	m.now = m.now.Add(rapid.SampledFrom(pauses).Draw(m.t, "pause"))
	switch rapid.SampledFrom([]string{
		"listen", "listen", "unlisten", "publish", "publish", "publish", "settle", "settle", "settle", "settle", "stale", "fire", "due",
	}).Draw(m.t, "command") {
	case "listen":
		return m.listen()
	case "unlisten":
		return m.unlisten()
	case "publish":
		return m.publish()
	case "settle":
		return m.settle(m.answerable())
	case "stale":
		return m.settle(nil)
	case "due":
		if due := m.live.NextDue(); due.After(m.now) {
			m.now = due.Add(time.Duration(rapid.IntRange(-1, 1).Draw(m.t, "off")))
		}
	}
	return slot.TimerFired{}
}

var opened = &journalv1.SlotOpened{Id: "slot/s", Namespace: "a", Type: "t"}

func (m *model) listen() slot.Command {
	instance, listener := m.owner()
	return slot.Listen{Slot: opened, Listener: added(
		instance, listener, rapid.Uint32Range(0, uint32(len(filters)-1)).Draw(m.t, "filter"), rapid.Bool().Draw(m.t, "many"),
	)}
}

func added(instance string, listener, filter uint32, many bool) *journalv1.ListenerAdded {
	return &journalv1.ListenerAdded{
		Instance: instance, Partition: 7, Listener: listener, Definition: "a/d:1.0.0", DefinitionHash: []byte("h"), Task: "/do/0/l",
		Filter: filter, Many: many,
	}
}

func (m *model) owner() (instance string, listener uint32) {
	return rapid.SampledFrom([]string{"o1", "o2", "o3"}).Draw(m.t, "instance"), rapid.Uint32Range(1, 3).Draw(m.t, "listener")
}

func (m *model) unlisten() slot.Command {
	instance, listener := m.owner()
	if len(m.plain.ears) > 0 && rapid.IntRange(0, 3).Draw(m.t, "known") > 0 {
		x := rapid.SampledFrom(m.plain.ears).Draw(m.t, "ear")
		instance, listener = x.instance, x.listener
	}
	c := slot.Unlisten{Instance: instance, Listener: listener}
	if x := m.plain.earOf(instance, listener); x != nil {
		c.Consumed = rapid.SampledFrom([]uint64{0, x.took, m.offered[x.number]}).Draw(m.t, "consumed")
	}
	return c
}

func (m *model) publish() slot.Command {
	m.ids++
	id := m.ids
	if rapid.IntRange(0, 3).Draw(m.t, "again") == 3 {
		id = rapid.IntRange(1, m.ids).Draw(m.t, "id")
	}
	return slot.Publish{
		Slot: opened,
		Event: cloudEvent(
			rapid.SampledFrom([]string{"/s", "/s", "/t"}).Draw(m.t, "source"), fmt.Sprint(id),
			rapid.SampledFrom([]string{"x", "x", "y"}).Draw(m.t, "type"), rapid.SampledFrom([]string{"1", "2"}).Draw(m.t, "data"),
			rapid.IntRange(1, 200).Draw(m.t, "padding"),
		),
		Keep: rapid.SampledFrom([]time.Duration{0, time.Second, 10 * time.Second, time.Hour}).Draw(m.t, "keep"),
	}
}

// read is an event as the plain model has it.
func read(event []byte) *published {
	var e struct {
		Source string      `json:"source"`
		ID     string      `json:"id"`
		Type   string      `json:"type"`
		Data   json.Number `json:"data"`
	}
	if err := json.Unmarshal(event, &e); err != nil {
		panic(err)
	}
	return &published{key: e.Source + " " + e.ID, kind: e.Type, data: e.Data.String(), bytes: len(event)}
}

// answerable are those who listen and were asked about an event.
func (m *model) answerable() []*ear {
	var out []*ear
	for _, x := range m.plain.ears {
		if len(x.gets) > 0 && m.offered[x.number] == x.gets[0] {
			out = append(out, x)
		}
	}
	return out
}

// settle makes an answer of one of the ears given; if there are none, one that need not make sense.
func (m *model) settle(ears []*ear) slot.Command {
	c := slot.Settle{Verdict: rapid.SampledFrom([]journalv1.Verdict{
		journalv1.Verdict_VERDICT_TAKEN, journalv1.Verdict_VERDICT_TAKEN, journalv1.Verdict_VERDICT_DECLINED,
		journalv1.Verdict_VERDICT_DECLINED, journalv1.Verdict_VERDICT_OVER, journalv1.Verdict_VERDICT_UNSPECIFIED,
	}).Draw(m.t, "verdict")}
	if len(ears) > 0 {
		x := rapid.SampledFrom(ears).Draw(m.t, "ear")
		c.Listener, c.Sequence = x.number, x.gets[0]
		return c
	}
	c.Listener = rapid.Uint32Range(0, m.plain.came+1).Draw(m.t, "number")
	c.Sequence = rapid.Uint64Range(0, uint64(len(m.plain.events)+1)).Draw(m.t, "sequence")
	return c
}

// turn decides so many commands and commits what came of them; or fails to, and reads the slot back.
func (m *model) turn(commands int, draw func() slot.Command) {
	twins, before := []*slot.State{m.whole(), m.recent()}, m.plain.clone()
	var events []*journalv1.Event
	for range commands {
		events = append(events, m.decide(draw(), twins)...)
	}
	if !m.sure && rapid.IntRange(0, 7).Draw(m.t, "commit") == 7 {
		m.plain = before
		m.live = m.whole()
		if rapid.Bool().Draw(m.t, "from the summary") {
			m.live = m.recent()
		}
		clear(m.offered)
	} else {
		m.commit(events)
	}
	m.check()
}

// decide has all states decide a command, who must agree.
func (m *model) decide(cmd slot.Command, twins []*slot.State) []*journalv1.Event {
	states := append([]*slot.State{m.live}, twins...)
	var asked *journalv1.ListenerAdded
	if l, is := cmd.(slot.Listen); is {
		asked = proto.CloneOf(l.Listener)
		for _, s := range states {
			s.Give(slot.FilterOf(asked), filterOf(asked.GetFilter()))
		}
	}
	before := look(m.live)
	made, err := m.live.Decide(m.now, cmd)
	switch room := m.plain.decide(m.now, cmd); {
	case room && err != nil, !room && !errors.Is(err, slot.ErrFull):
		m.t.Fatalf("%+v is decided with the error %v, but there is room: %t", cmd, err, room)
	case (len(made) > 0) != m.plain.changed:
		m.t.Fatalf("%+v made\n%s\nbut changes something: %t\n%s", cmd, list(made), m.plain.changed, before)
	case len(made) == 0 && look(m.live) != before:
		m.t.Fatalf("%+v made nothing, but changed the state from\n%s\nto\n%s", cmd, before, look(m.live))
	}
	for _, ev := range made {
		if ev.GetAt() != m.plain.at {
			m.t.Fatalf("%v is dated %d, not %d", ev, ev.GetAt(), m.plain.at)
		}
	}
	for _, s := range states[1:] {
		if again, errAgain := s.Decide(m.now, cmd); list(again) != list(made) || fmt.Sprint(errAgain) != fmt.Sprint(err) {
			m.t.Fatalf("%+v: the state decided\n%s(%v), but read back\n%s(%v)", cmd, list(made), err, list(again), errAgain)
		}
	}
	if l, is := cmd.(slot.Listen); is && !proto.Equal(l.Listener, asked) {
		m.t.Fatalf("the command was %v, and has become %v", asked, l.Listener)
	}
	return made
}

func (m *model) commit(events []*journalv1.Event) {
	if len(events) > 0 {
		raw, err := proto.Marshal(&journalv1.Record{FeatureLevel: 1, Events: events})
		if err != nil {
			m.t.Fatal(err)
		}
		m.history, m.versions = append(m.history, raw), append(m.versions, m.version+1)
	}
	for _, ev := range events {
		m.version++
		if ev.GetSlotSummarized() != nil {
			m.summary = m.version
		}
		m.witness.sees(ev)
	}
	for _, o := range m.live.Offers() {
		number, sequence := o.Listener.GetNumber(), o.Event.GetSequence()
		last := m.offered[number]
		if last == sequence {
			m.t.Fatalf("listener %d is asked about event %d again", number, sequence)
		}
		if last > sequence && !m.witness.passedOn[given{number, sequence}] {
			m.t.Fatalf("listener %d is asked about event %d after event %d", number, sequence, last)
		}
		m.offered[number] = sequence
	}
}

// whole reads the slot back from its whole history.
func (m *model) whole() *slot.State { return m.fold(slot.New(m.limits), 1) }

// recent reads the slot back from its last summary on.
func (m *model) recent() *slot.State {
	from := max(m.summary, 1)
	return m.fold(slot.From(from, m.limits), from)
}

func (m *model) fold(s *slot.State, from messages.Version) *slot.State {
	for i, raw := range m.history {
		if i+1 < len(m.history) && m.versions[i+1] <= from {
			continue
		}
		var r journalv1.Record
		if err := proto.Unmarshal(raw, &r); err != nil {
			m.t.Fatal(err)
		}
		for n, ev := range r.GetEvents() {
			if m.versions[i]+messages.Version(n) >= from {
				s.Evolve(ev)
			}
		}
	}
	wanted := map[slot.FilterRef]bool{}
	for _, x := range m.plain.ears {
		wanted[slot.FilterOf(added("", 0, x.filter, false))] = true
	}
	wanting := s.Wanting()
	if len(wanting) != len(wanted) {
		m.t.Fatalf("read back, the slot wants the filters %v, but needs %v", wanting, wanted)
	}
	for _, ref := range wanting {
		if !wanted[ref] {
			m.t.Fatalf("read back, the slot wants the filter %v, but needs %v", ref, wanted)
		}
		s.Give(ref, filterOf(ref.Filter))
	}
	return s
}

// check compares the state with its history, and with the plain model.
func (m *model) check() {
	whole, recent := m.whole(), m.recent()
	is := look(m.live)
	if made := look(whole); made != is {
		m.t.Fatalf("the state is\n%s\nbut its history makes\n%s", is, made)
	}
	if made := look(recent); made != is {
		m.t.Fatalf("the state is\n%s\nbut its history from version %d on makes\n%s", is, m.summary, made)
	}
	if m.live.Version() != m.version {
		m.t.Fatalf("the version is %d after %d events", m.live.Version(), m.version)
	}
	held := m.plain.held()
	if n, bytes := m.live.Events(); n != len(held) || bytes != m.plain.bytes() || m.live.Listeners() != len(m.plain.ears) {
		m.t.Fatalf("there are %d events of %d bytes, %d of %d should be; and %d listeners of %d", n, bytes, len(held), m.plain.bytes(),
			m.live.Listeners(), len(m.plain.ears))
	}
	if due := m.live.NextDue(); !due.Equal(m.plain.nextDue()) {
		m.t.Fatalf("due at %s, not at %s", due, m.plain.nextDue())
	}
	m.checkOffers(whole, recent)
	m.checkKept()
	if len(m.history) > 0 {
		m.checkRows()
	}
}

// checkOffers finds out whether each listener was asked about the first event that it gets; of states just read back, whether it will be.
func (m *model) checkOffers(states ...*slot.State) {
	var want []string
	for _, x := range m.plain.ears {
		if len(x.gets) > 0 {
			want = append(want, fmt.Sprint(x.number, " ", x.gets[0]))
		}
		if len(x.gets) > 0 && len(m.offered) > 0 && m.offered[x.number] != x.gets[0] {
			m.t.Fatalf("listener %d gets event %d, but was asked about %d", x.number, x.gets[0], m.offered[x.number])
		}
	}
	if len(m.offered) == 0 { // the state was read back
		states = append(states, m.live)
	}
	for _, s := range states {
		var is []string
		for _, o := range s.Offers() {
			is = append(is, fmt.Sprint(o.Listener.GetNumber(), " ", o.Event.GetSequence()))
			if s == m.live {
				m.offered[o.Listener.GetNumber()] = o.Event.GetSequence()
			}
		}
		if slices.Sort(is); !slices.Equal(is, slices.Sorted(slices.Values(want))) {
			m.t.Fatalf("read back, listeners are asked about %q, but get %q", is, want)
		}
		if s.Waiting() != len(want) {
			m.t.Fatalf("%d have not answered, but %q", s.Waiting(), want)
		}
	}
}

// checkKept finds out which events somebody would get who came now and wanted all.
func (m *model) checkKept() {
	wider := *m
	wider.limits.Listeners++
	s := wider.recent()
	l := added("another", 1, anything, true)
	s.Give(slot.FilterOf(l), filterOf(anything))
	events, err := s.Decide(m.now, slot.Listen{Slot: opened, Listener: l})
	if err != nil {
		m.t.Fatal(err)
	}
	want := m.plain.kept(max(m.now.UnixNano(), m.plain.at))
	for _, ev := range events {
		if e := ev.GetListenerAdded(); e != nil && !slices.Equal(e.GetEvents(), want) {
			m.t.Fatalf("somebody who comes gets the events %v, not %v", e.GetEvents(), want)
		}
	}
}

// checkRows writes the rows as far as they change: they must be those that follow from the history.
func (m *model) checkRows() {
	f := m.live.Facts()
	if f.ChangesOrder(m.row) {
		m.row = f.OrderRow(7)
	}
	switch {
	case !f.Open():
		m.open = nil
	case f.ChangesOpen(m.open):
		m.open = f.OpenRow()
	}
	if err := rows.Agree(m.row, m.open); err != nil {
		m.t.Fatal(err)
	}
	if err := f.Follow(m.row, m.open); err != nil {
		m.t.Fatal(err)
	}
	idle := !slices.ContainsFunc(m.plain.ears, func(x *ear) bool { return len(x.gets) > 0 })
	switch status := orderv1.Status(m.row.GetStatus()); {
	case (status == orderv1.Status_STATUS_COMPLETED) != (len(m.plain.ears)+len(m.plain.held()) == 0),
		(status == orderv1.Status_STATUS_RUNNING) == idle:
		m.t.Fatalf("the status is %s with %d listeners and %d events", status, len(m.plain.ears), len(m.plain.held()))
	case status == orderv1.Status_STATUS_WAITING && time.Unix(0, m.open.GetDue()).UTC() != m.plain.nextDue() && m.open.GetDue() != 0:
		m.t.Fatalf("the row is due at %d, not at %s", m.open.GetDue(), m.plain.nextDue())
	}
	if m.row.GetReadsFrom() != uint64(m.summary) {
		m.t.Fatalf("the row is read from version %d on, not %d", m.row.GetReadsFrom(), m.summary)
	}
}

// finish has all listeners leave and all times go by: then nothing is left.
func (m *model) finish() {
	m.sure = true
	for len(m.plain.ears) > 0 {
		m.turn(1, func() slot.Command {
			x := m.plain.ears[0]
			if ears := m.answerable(); len(ears) > 0 && rapid.Bool().Draw(m.t, "answers") {
				return m.settle(ears)
			}
			return slot.Unlisten{Instance: x.instance, Listener: x.listener, Consumed: m.offered[x.number]}
		})
	}
	m.now = m.now.Add(2 * time.Hour)
	m.turn(1, func() slot.Command { return slot.TimerFired{} })
	if !m.live.Empty() || m.live.Waiting() != 0 || !m.live.NextDue().IsZero() {
		m.t.Fatalf("something is left:\n%s", look(m.live))
	}
	if len(m.history) > 0 && (m.open != nil || orderv1.Status(m.row.GetStatus()) != orderv1.Status_STATUS_COMPLETED) {
		m.t.Fatalf("nothing is left, but the rows are %v and %v", m.row, m.open)
	}
	m.witness.ends()
}

// look is all of a state that can be seen from outside.
func look(s *slot.State) string {
	var out strings.Builder
	f := s.Facts()
	n, bytes := s.Events()
	fmt.Fprintf(&out, "version %d of %q, %s %s, size %d, %d listeners, %d waiting, %d events of %d bytes, empty %t, due at %s\n", s.Version(),
		s.ID(), f.Accepted.GetOrderId(), f.Accepted.GetDefinition(), s.Size(), s.Listeners(), s.Waiting(), n, bytes, s.Empty(), s.NextDue())
	f.Accepted = nil
	fmt.Fprintf(&out, "%+v\n", f)
	for number, left := uint32(1), s.Waiting(); number < 1000 && left > 0; number++ {
		if o, is := s.OfferTo(number); is {
			left--
			fmt.Fprintf(&out, "%d, listener %d of %s, gets event %d: %s\n", number, o.Listener.GetListener(), o.Listener.GetInstance(),
				o.Event.GetSequence(), o.Event.GetEvent())
		}
	}
	return out.String()
}

func list(events []*journalv1.Event) string {
	var out strings.Builder
	for _, ev := range events {
		fmt.Fprintln(&out, ev)
	}
	return out.String()
}
