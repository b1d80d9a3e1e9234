package recorder

import (
	"net"
	"sync"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/auditv1"
)

// refusal is what is refused alike. The port from which somebody comes does not tell refusals apart.
type refusal struct{ what, name, by, host, why string }

// others stands for all whose name is not known that are refused when no more of them are told apart, and otherNamed for all whose name is
// known: whoever makes up things without showing who he is does not hide what others do.
//
//nolint:gochecknoglobals // constants
var (
	others     = refusal{what: "others", why: "of callers that are not known"}
	otherNamed = refusal{what: "others", why: "of callers that are known"}
)

// maxText is the longest text of a refusal, in bytes.
const maxText = 256

// refusals counts who is refused. The first of a kind within a minute is told at once, and others when it is over.
type refusals struct {
	mu     sync.Mutex
	most   int // told apart of those whose name is known, and as many of those whose name is not
	counts map[refusal]*count
	// named and unnamed are how many are told apart.
	named, unnamed int
	// wake tells the loop that there is a first one of a kind.
	wake chan struct{}
}

// count is how often somebody was refused and it was not told, and whether it was told that it has happened.
type count struct {
	untold uint64
	told   bool
}

func (s *refusals) add(what string, who *auditv1.Caller, why string) {
	host := who.GetAddress()
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	k := refusal{
		what: messages.Clip(what, maxText), name: messages.Clip(who.GetName(), maxText), by: messages.Clip(who.GetKnownBy(), maxText),
		host: messages.Clip(host, maxText), why: messages.Clip(why, maxText),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.of(k)
	c.untold++
	if !c.told {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// of is the count of a refusal, or of the others if no more are told apart.
func (s *refusals) of(k refusal) *count {
	if s.counts == nil {
		s.counts = map[refusal]*count{}
	}
	apart, rest := &s.unnamed, others
	if k.name != "" {
		apart, rest = &s.named, otherNamed
	}
	c := s.counts[k]
	if c == nil && k != others && k != otherNamed {
		if *apart < s.most {
			*apart++
		} else {
			k = rest
			c = s.counts[k]
		}
	}
	if c == nil {
		c = &count{}
		s.counts[k] = c
	}
	return c
}

// take returns what is to be told: of those that were not told of yet, or, when the minute is over, of all, which are forgotten then.
func (s *refusals) take(over bool) []*auditv1.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*auditv1.Entry
	for k, c := range s.counts {
		if c.untold > 0 && (over || !c.told) {
			out = append(out, &auditv1.Entry{Kind: &auditv1.Entry_Refused{Refused: &auditv1.Refused{
				Caller: &auditv1.Caller{Name: k.name, Address: k.host, KnownBy: k.by}, What: k.what, Why: k.why, Count: c.untold,
			}}})
			c.untold, c.told = 0, true
		}
	}
	if over {
		clear(s.counts)
		s.named, s.unnamed = 0, 0
	}
	return out
}

// putBack counts what could not be told.
func (s *refusals) putBack(entries []*auditv1.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		x := e.GetRefused()
		who := x.GetCaller()
		c := s.of(refusal{what: x.GetWhat(), name: who.GetName(), by: who.GetKnownBy(), host: who.GetAddress(), why: x.GetWhy()})
		c.untold, c.told = c.untold+x.GetCount(), true
	}
}

// tellRefused writes who was refused.
func (r *Recorder) tellRefused(over bool) {
	entries := r.refused.take(over)
	if len(entries) == 0 {
		return
	}
	if err := r.write(writeWithin, entries...); err != nil {
		r.refused.putBack(entries)
		r.Log.Warn("who was refused is not in the audit yet", "error", err)
	}
}
