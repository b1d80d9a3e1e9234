package adaptertest

import (
	"context"
	"fmt"
	"slices"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// execution is what the node knows about the executing of a key.
type execution struct {
	allowed bool   // it was confirmed, or sent without a wish for a confirmation
	process string // that executes it, as far as that was confirmed; empty: none
	alone   bool   // nothing else may be executed there
}

// Confirm lets an attempt be executed that was reported as about to be.
func (n *Node) Confirm(key string, attempt uint32) {
	n.confirmAll(&adapterv1.Confirmation{Key: key, Attempt: attempt})
}

// ConfirmMaybe does the same, and says that another process may have started the work.
func (n *Node) ConfirmMaybe(key string, attempt uint32) {
	n.confirmAll(&adapterv1.Confirmation{Key: key, Attempt: attempt, MaybeStarted: true})
}

func (n *Node) confirmAll(c *adapterv1.Confirmation) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.streams {
		if s.knows[c.GetKey()] {
			n.confirm(s, c)
		}
	}
}

// HoldConfirmations says whether attempts that are reported from now on are left to Confirm.
func (n *Node) HoldConfirmations(hold bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.holdConfirmations = hold
}

// Begun are all reports that an attempt is about to be executed, in order, repeats included.
func (n *Node) Begun() []*adapterv1.Begun {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.begun)
}

// AwaitBegun waits until it was reported, that many times, that an attempt is about to be executed.
func (n *Node) AwaitBegun(ctx context.Context, key string, attempt uint32, times int) {
	n.tb.Helper()
	n.until(ctx, fmt.Sprintf("report %d that %s, attempt %d, is about to be executed", times, key, attempt), func() bool {
		count := 0
		for _, b := range n.begun {
			if b.GetKey() == key && b.GetAttempt() == attempt {
				count++
			}
		}
		return count >= times
	})
}

// sent notes a task that is sent on a stream.
func (n *Node) sent(s *stream, t *adapterv1.Task) {
	n.tasks[t.GetKey()] = t
	s.knows[t.GetKey()] = true
	e := n.execution(t.GetKey())
	e.alone = e.alone || t.GetAlone()
	e.allowed = e.allowed || !t.GetAwaitConfirmation() && !t.GetAlone()
}

func (n *Node) execution(key string) *execution {
	if n.executions[key] == nil {
		n.executions[key] = &execution{}
	}
	return n.executions[key]
}

// receiveBegun takes a report, checks it, and confirms it unless that is left to the test.
func (n *Node) receiveBegun(s *stream, b *adapterv1.Begun) {
	n.begun = append(n.begun, b)
	id := fmt.Sprintf("report that %q, attempt %d, is about to be executed", b.GetKey(), b.GetAttempt())
	t := n.tasks[b.GetKey()]
	switch {
	case t == nil && s.knows[b.GetKey()]: // another node has sent it
		if !n.holdConfirmations {
			n.confirm(s, &adapterv1.Confirmation{Key: b.GetKey(), Attempt: b.GetAttempt()})
		}
		return
	case t == nil || !s.knows[b.GetKey()]:
		n.violatedf("%s: it was neither sent on this stream nor listed there", id)
		return
	case b.GetAttempt() > t.GetAttempt():
		n.violatedf("%s: attempt %d was sent last", id, t.GetAttempt())
		return
	case b.GetAttempt() < t.GetAttempt():
		return // a later one was sent meanwhile, and will be reported
	case !t.GetAwaitConfirmation() && !t.GetAlone():
		n.violatedf("%s: nobody asked for that", id)
		return
	}
	n.checkAlone(s, id, t)
	if !n.holdConfirmations {
		n.confirm(s, &adapterv1.Confirmation{Key: b.GetKey(), Attempt: b.GetAttempt()})
	}
}

// checkAlone says what else the process executes, if the attempt, or that, is to be executed alone.
func (n *Node) checkAlone(s *stream, id string, t *adapterv1.Task) {
	for key, e := range n.executions {
		if key != t.GetKey() && e.process == s.process && (e.alone || t.GetAlone()) {
			n.violatedf("%s: the process is executing %q, and one of the two is to be executed alone", id, key)
		}
	}
}

func (n *Node) confirm(s *stream, c *adapterv1.Confirmation) {
	e := n.execution(c.GetKey())
	e.allowed, e.process = true, s.process
	s.send(&adapterv1.ConnectResponse{Confirmations: []*adapterv1.Confirmation{c}})
}

// checkExecution says whether a result tells of an execution that nobody allowed.
func (n *Node) checkExecution(s *stream, id string, r *adapterv1.Result) {
	if !s.knows[r.GetKey()] {
		n.violatedf("%s: its key was neither sent on this stream nor listed there", id)
		return
	}
	e := n.execution(r.GetKey())
	e.process = ""
	doubt := r.GetOutcome() == adapterv1.Outcome_OUTCOME_IN_DOUBT && !n.tasks[r.GetKey()].GetMaybeStarted()
	if !e.allowed && (doubt || r.GetOutcome() == adapterv1.Outcome_OUTCOME_SUCCEEDED) {
		n.violatedf("%s: it was executed before that was confirmed", id)
	}
}
