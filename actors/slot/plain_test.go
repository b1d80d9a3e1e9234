package slot_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/actors/slot"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// plain is a correlation slot as simply as it can be told: lists that are gone through from the first to the last. It forgets no event.
type plain struct {
	limits slot.Limits
	at     int64        // when something happened last
	ears   []*ear       // those who listen, in the order in which they came
	came   uint32       // how many ears there ever were
	events []*published // all that there ever were; number n is at n-1
	// changed: the command that was decided last has changed something.
	changed bool
}

// ear is somebody who listens.
type ear struct {
	instance string
	listener uint32
	number   uint32
	filter   uint32
	many     bool
	// gets are the numbers of the events that it has not answered; the first one is offered.
	gets []uint64
	took uint64 // the one that it has taken last
}

// published is an event.
type published struct {
	number          uint64
	key, kind, data string
	bytes           int
	at, until       int64
	declined        []uint32
	taken, expired  bool
}

// filters are what may be listened for: a type and data; if empty, any will do.
var filters = []struct{ kind, data string }{{"x", ""}, {"y", ""}, {"", ""}, {"", "1"}, {"x", "2"}}

// anything is the filter that selects all events.
const anything = 2

func filterOf(n uint32) slot.Filter {
	f := &workflow.EventFilter{Type: filters[n].kind}
	if filters[n].data != "" {
		f.Conditions = []workflow.Condition{{Attribute: "data", Is: filters[n].data}}
	}
	return f
}

func (x *ear) matches(e *published) bool {
	f := filters[x.filter]
	return (f.kind == "" || f.kind == e.kind) && (f.data == "" || f.data == e.data)
}

// idle tells whether an ear that wants one event may get one.
func (x *ear) idle() bool { return x.many || len(x.gets) == 0 }

// get gives it an event: in order, but what is offered remains so.
func (x *ear) get(n uint64) {
	x.gets = append(x.gets, n)
	slices.Sort(x.gets[1:])
}

func (p *plain) clone() *plain {
	out := *p
	out.ears, out.events = slices.Clone(p.ears), slices.Clone(p.events)
	for i, x := range p.ears {
		c := *x
		c.gets = slices.Clone(x.gets)
		out.ears[i] = &c
	}
	for i, e := range p.events {
		c := *e
		c.declined = slices.Clone(e.declined)
		out.events[i] = &c
	}
	return &out
}

// decide takes a command, and tells whether there was room for it.
func (p *plain) decide(clock time.Time, cmd slot.Command) bool {
	p.changed = false
	now := max(clock.UnixNano(), p.at)
	room := true
	switch c := cmd.(type) {
	case slot.Listen:
		room = p.listen(now, c.Listener)
	case slot.Unlisten:
		p.unlisten(now, c)
	case slot.Publish:
		room = p.publish(now, c)
	case slot.Settle:
		if x := p.ear(c.Listener); x != nil && len(x.gets) > 0 && x.gets[0] == c.Sequence {
			p.settle(now, x, c.Verdict)
		}
	case slot.TimerFired:
		for _, e := range p.held() {
			if p.free(e) && e.until <= clock.UnixNano() {
				e.expired, p.changed = true, true
			}
		}
	}
	if p.changed {
		p.at = now
	}
	return room
}

func (p *plain) ear(number uint32) *ear {
	for _, x := range p.ears {
		if x.number == number {
			return x
		}
	}
	return nil
}

func (p *plain) earOf(instance string, listener uint32) *ear {
	for _, x := range p.ears {
		if x.instance == instance && x.listener == listener {
			return x
		}
	}
	return nil
}

// under tells whether somebody has not answered for an event.
func (p *plain) under(e *published) bool {
	return slices.ContainsFunc(p.ears, func(x *ear) bool { return slices.Contains(x.gets, e.number) })
}

// free tells whether an event is there for whoever wants it.
func (p *plain) free(e *published) bool { return !e.taken && !e.expired && !p.under(e) }

// held returns the events that are held, in the order of their numbers.
func (p *plain) held() []*published {
	var out []*published
	for _, e := range p.events {
		if p.free(e) || p.under(e) {
			out = append(out, e)
		}
	}
	return out
}

// kept returns the numbers of those who are there for whoever comes at a time.
func (p *plain) kept(now int64) []uint64 {
	var out []uint64
	for _, e := range p.held() {
		if p.free(e) && e.until > now {
			out = append(out, e.number)
		}
	}
	return out
}

func (p *plain) bytes() int {
	sum := 0
	for _, e := range p.held() {
		sum += e.bytes
	}
	return sum
}

func (p *plain) nextDue() time.Time {
	var due time.Time
	for _, e := range p.held() {
		if at := time.Unix(0, e.until).UTC(); p.free(e) && (due.IsZero() || at.Before(due)) {
			due = at
		}
	}
	return due
}

func (p *plain) listen(now int64, l *journalv1.ListenerAdded) bool {
	if p.earOf(l.GetInstance(), l.GetListener()) != nil {
		return true
	}
	if len(p.ears) >= p.limits.Listeners {
		return false
	}
	p.came++
	x := &ear{instance: l.GetInstance(), listener: l.GetListener(), number: p.came, filter: l.GetFilter(), many: l.GetMany()}
	for _, n := range p.kept(now) {
		if x.idle() && x.matches(p.events[n-1]) {
			x.get(n)
		}
	}
	p.ears, p.changed = append(p.ears, x), true
	return true
}

func (p *plain) unlisten(now int64, c slot.Unlisten) {
	x := p.earOf(c.Instance, c.Listener)
	if x == nil {
		return
	}
	p.changed = true
	if len(x.gets) > 0 && x.gets[0] == c.Consumed {
		p.events[c.Consumed-1].taken = true
		x.gets = x.gets[1:]
	}
	p.leave(now, x)
}

// leave has an ear listen no more.
func (p *plain) leave(now int64, x *ear) {
	p.ears = slices.DeleteFunc(p.ears, func(y *ear) bool { return x == y })
	for _, n := range slices.Sorted(slices.Values(x.gets)) {
		p.passOn(now, p.events[n-1])
	}
}

// passOn gives an event that somebody has left to others. What nobody wants is kept until its time is over.
func (p *plain) passOn(now int64, e *published) {
	if !p.free(e) {
		return
	}
	p.give(e)
	if p.free(e) && e.until <= now {
		e.expired = true
	}
}

// give gives an event to all who match.
func (p *plain) give(e *published) {
	for _, x := range p.ears {
		if x.idle() && x.matches(e) && !slices.Contains(e.declined, x.number) {
			x.get(e.number)
		}
	}
}

func (p *plain) publish(now int64, c slot.Publish) bool {
	e := read(c.Event)
	for _, x := range p.events[max(0, len(p.events)-p.limits.Seen):] {
		if x.key == e.key && x.at+int64(p.limits.Remember) > now {
			return true
		}
	}
	if held := p.held(); len(held) >= p.limits.Events || len(held) > 0 && p.bytes()+e.bytes > p.limits.Bytes {
		return false
	}
	e.number, e.at, e.until = uint64(len(p.events)+1), now, now+int64(c.Keep)
	p.events, p.changed = append(p.events, e), true
	p.passOn(now, e)
	return true
}

func (p *plain) settle(now int64, x *ear, v journalv1.Verdict) {
	e := p.events[x.gets[0]-1]
	x.gets, p.changed = x.gets[1:], true
	switch {
	case v == journalv1.Verdict_VERDICT_TAKEN && x.many:
		e.taken, x.took = true, e.number
	case v == journalv1.Verdict_VERDICT_TAKEN:
		e.taken = true
		p.leave(now, x)
	case v == journalv1.Verdict_VERDICT_OVER:
		x.gets = append(x.gets, e.number)
		p.leave(now, x)
	default:
		e.declined = append(e.declined, x.number)
		p.passOn(now, e)
		for _, n := range p.kept(now) {
			if !x.many && x.idle() && x.matches(p.events[n-1]) && !slices.Contains(p.events[n-1].declined, x.number) {
				x.get(n)
			}
		}
	}
}

// cloudEvent makes an event; padding makes it longer.
func cloudEvent(source, id, kind, data string, padding int) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","source":%q,"id":%q,"type":%q,"data":%s,"padding":"%0*d"}`,
		source, id, kind, data, padding, 0)
}
