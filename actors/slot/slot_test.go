package slot_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/slot"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

const (
	taken    = journalv1.Verdict_VERDICT_TAKEN
	declined = journalv1.Verdict_VERDICT_DECLINED
	over     = journalv1.Verdict_VERDICT_OVER
)

// place is a slot, and its history.
type place struct {
	*slot.State

	t       *testing.T
	limits  slot.Limits
	now     time.Time
	history []*journalv1.Event
}

func setup(t *testing.T, limits slot.Limits) *place {
	t.Helper()
	return &place{State: slot.New(limits), t: t, limits: limits, now: began}
}

func (p *place) decide(cmd slot.Command) error {
	events, err := p.Decide(p.now, cmd)
	for _, ev := range events {
		p.history = append(p.history, proto.CloneOf(ev))
	}
	return err
}

// must decides commands for which there is room, one after the other.
func (p *place) must(commands ...slot.Command) {
	p.t.Helper()
	for _, cmd := range commands {
		if err := p.decide(cmd); err != nil {
			p.t.Fatal(err)
		}
	}
}

// listen makes an instance listen for events that a filter selects.
func (p *place) listen(instance string, filter uint32, many bool) slot.Command {
	l := added(instance, 1, filter, many)
	p.Give(slot.FilterOf(l), filterOf(filter))
	return slot.Listen{Slot: opened, Listener: l}
}

// event makes an event of type x with data 1 that is published, and kept for a minute.
func event(id string) slot.Command {
	return slot.Publish{Slot: opened, Event: cloudEvent("/s", id, "x", "1", 1), Keep: time.Minute}
}

// offers tells which listeners are asked about which events.
func (p *place) offers(want string) {
	p.t.Helper()
	var words []string
	for _, o := range p.Offers() {
		words = append(words, fmt.Sprintf("%d:%d", o.Listener.GetNumber(), o.Event.GetSequence()))
	}
	if is := strings.Join(words, " "); is != want {
		p.t.Errorf("listeners are asked %q, not %q", is, want)
	}
}

// readBack reads the slot back from a version on.
func (p *place) readBack(from messages.Version) {
	p.State = slot.From(from, p.limits)
	for _, ev := range p.history[from-1:] {
		p.Evolve(ev)
	}
	for _, ref := range p.Wanting() {
		p.Give(ref, filterOf(ref.Filter))
	}
}

// What there is no room for is refused, and leaves the slot as it was.
func TestFull(t *testing.T) {
	t.Parallel()
	long := slot.Publish{Slot: opened, Event: cloudEvent("/s", "long", "x", "1", 300), Keep: time.Minute}
	for name, c := range map[string]struct {
		limits slot.Limits
		before []slot.Command // what is published before what is refused
	}{
		"events": {slot.Limits{Events: 2}, []slot.Command{event("1"), event("2")}},
		"bytes":  {slot.Limits{Bytes: 300}, []slot.Command{event("1")}}, // one that is longer than that has room when there is no other
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := setup(t, c.limits)
			p.must(c.before...)
			before := look(p.State)
			if err := p.decide(long); !errors.Is(err, slot.ErrFull) || look(p.State) != before {
				t.Errorf("%v, and the slot was\n%s\nand is\n%s", err, before, look(p.State))
			}
			p.must(c.before...) // what is repeated needs no room
			p.now = p.now.Add(time.Minute)
			p.must(slot.TimerFired{}, long)
		})
	}
	t.Run("listeners", func(t *testing.T) {
		t.Parallel()
		p := setup(t, slot.Limits{Listeners: 1})
		p.must(p.listen("a", anything, true))
		before := look(p.State)
		if err := p.decide(p.listen("b", 0, true)); !errors.Is(err, slot.ErrFull) || look(p.State) != before {
			t.Errorf("%v, and the slot was\n%s\nand is\n%s", err, before, look(p.State))
		}
		p.must(p.listen("a", anything, true), slot.Unlisten{Instance: "a", Listener: 1}, p.listen("b", 0, true))
	})
}

// Whoever wants all events gets one at a time, in the order in which they were published: first those that were kept; and one that
// another has left has its place, too, but for the one that was asked about already.
func TestInOrder(t *testing.T) {
	t.Parallel()
	p := setup(t, slot.Limits{})
	p.must(event("1"), event("2"), p.listen("a", 0, true), event("3"))
	p.offers("1:1")
	p.must(slot.Settle{Listener: 1, Sequence: 1, Verdict: taken})
	p.offers("1:2")
	p.must(
		slot.Settle{Listener: 1, Sequence: 3, Verdict: taken}, // it was not asked about that
		slot.Settle{Listener: 1, Sequence: 1, Verdict: over},  // it has answered
	)
	p.offers("")
	p.must(p.listen("b", 0, true), event("4"), event("5"))
	p.offers("2:4")
	p.must(slot.Unlisten{Instance: "a", Listener: 1})
	p.offers("")
	p.must(slot.Settle{Listener: 2, Sequence: 4, Verdict: declined})
	p.offers("2:2")
	p.must(slot.Settle{Listener: 2, Sequence: 2, Verdict: taken})
	p.offers("2:3")
	p.must(slot.Settle{Listener: 2, Sequence: 3, Verdict: taken})
	p.offers("2:5")
}

// What somebody leaves goes to others in the order in which it was published, whatever it was asked about first.
func TestLeavesInOrder(t *testing.T) {
	t.Parallel()
	p := setup(t, slot.Limits{})
	p.must(p.listen("a", 0, true), event("1"), event("2"), p.listen("b", 0, true), event("3"))
	p.offers("1:1 2:3")
	p.must(slot.Unlisten{Instance: "a", Listener: 1}, p.listen("c", 0, false), slot.Settle{Listener: 2, Sequence: 3, Verdict: over})
	p.offers("3:1")
}

// An event is known for a while: so long, it is not published again.
func TestRemember(t *testing.T) {
	t.Parallel()
	p := setup(t, slot.Limits{Remember: time.Minute})
	p.must(p.listen("a", 0, true))
	size := p.Size()
	p.must(event("1"), event("1"))
	p.offers("1:1")
	p.must(slot.Settle{Listener: 1, Sequence: 1, Verdict: taken})
	known := p.Size()
	p.now = p.now.Add(time.Minute - 1)
	p.must(event("1"))
	if p.offers(""); known <= size {
		t.Errorf("the size was %d, and with an event that is known it is %d", size, known)
	}
	for sequence := range uint64(3) {
		p.now = p.now.Add(time.Minute)
		p.must(event("1"))
		p.offers(fmt.Sprint("1:", sequence+2))
		if p.must(slot.Settle{Listener: 1, Sequence: sequence + 2, Verdict: taken}); p.Size() != known {
			t.Errorf("the size was %d, and is %d", known, p.Size())
		}
	}
}

// One that wants a single event gets another one if it does not want what it got, unless the time of that is over.
func TestDeclines(t *testing.T) {
	t.Parallel()
	p := setup(t, slot.Limits{})
	p.must(p.listen("a", 0, false), event("1"), event("2"))
	p.offers("1:1")
	p.must(slot.Settle{Listener: 1, Sequence: 1, Verdict: declined})
	p.offers("1:2")
	p.must(event("3"))
	p.now = p.now.Add(time.Minute)
	p.must(slot.Settle{Listener: 1, Sequence: 2, Verdict: declined})
	p.offers("")
	p.must(slot.TimerFired{})
	if n, _ := p.Events(); n != 0 || !p.NextDue().IsZero() {
		t.Errorf("%d events are held, and due at %s", n, p.NextDue())
	}
}

// Who says that it has consumed the event that it was asked about, as it listens no more, has taken it; else others get it.
func TestUnlisten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		many     bool
		consumed uint64
		offers   string
	}{
		{many: false, consumed: 1, offers: ""},
		{many: false, consumed: 0, offers: "2:1"},
		{many: true, consumed: 1, offers: "2:2"}, // it had more
		{many: true, consumed: 2, offers: "2:1"}, // it can't have consumed what it was not asked about
		{many: true, consumed: 0, offers: "2:1"},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			t.Parallel()
			p := setup(t, slot.Limits{})
			p.must(p.listen("a", 0, c.many), event("1"))
			if c.many {
				p.must(event("2"))
			}
			p.must(p.listen("b", 0, true))
			p.offers("1:1")
			p.must(slot.Unlisten{Instance: "a", Listener: 1, Consumed: c.consumed})
			p.offers(c.offers)
			p.must(slot.Unlisten{Instance: "a", Listener: 1, Consumed: c.consumed})
			if p.offers(""); p.Listeners() != 1 {
				t.Errorf("%d listen, not 1", p.Listeners())
			}
		})
	}
}

// A long history gets a summary, from which on it tells all that the slot knows.
func TestSummary(t *testing.T) {
	t.Parallel()
	p := setup(t, slot.Limits{Summary: 30})
	p.must(p.listen("a", 0, true), p.listen("b", 0, true), p.listen("c", 1, true), event("1"), event("2"))
	p.must(
		slot.Settle{Listener: 1, Sequence: 1, Verdict: taken}, // b has it still
		slot.Settle{Listener: 1, Sequence: 2, Verdict: declined},
	)
	for i := range 10 {
		instance := fmt.Sprint("passing", i)
		p.must(p.listen(instance, 1, false), slot.Unlisten{Instance: instance, Listener: 1})
	}
	if p.Facts().ReadsFrom != 0 {
		t.Fatal("the history is summarized though it is short")
	}
	for i := range 10 {
		instance := fmt.Sprint("other", i)
		p.must(p.listen(instance, 1, false), slot.Unlisten{Instance: instance, Listener: 1})
	}
	from := messages.Version(p.Facts().ReadsFrom)
	if from == 0 || p.history[from-1].GetSlotSummarized() == nil {
		t.Fatalf("the history of %d events has no summary at version %d", len(p.history), from)
	}
	before := look(p.State)
	p.readBack(from)
	if look(p.State) != before {
		t.Fatalf("the slot was\n%s\nand is, read back from version %d on,\n%s", before, from, look(p.State))
	}
	p.offers("2:1")
	p.must(p.listen("d", 0, true), event("1"), event("3"))
	p.offers("1:3 24:3")
	p.must(slot.Settle{Listener: 2, Sequence: 1, Verdict: declined}) // a has taken it
	p.offers("2:2")
	p.must(slot.Settle{Listener: 2, Sequence: 2, Verdict: declined}) // a does not want it either, d has not been asked
	p.offers("2:3")
	p.must(slot.Settle{Listener: 24, Sequence: 3, Verdict: taken})
	p.offers("24:2")
}
