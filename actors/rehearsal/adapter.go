package rehearsal

import (
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// attempt is one that a stub is to answer for, or does not.
type attempt struct {
	workflow.Dispatch

	stub *Stub
}

// ledger is where all attempts are executed.
const ledger = "rehearsal"

// dispatch finds the stub that answers for an attempt, and plans its answer.
func (w *world) dispatch(i *instance, d workflow.Dispatch) {
	t := i.state.Definition().Tasks[d.Task]
	stub, why := w.stub(t, withoutVersion(d.Activity), d.Input)
	if stub == nil {
		what := "activity " + d.Activity
		if is, _ := definition.Builtin(d.Activity); is {
			what = "a request or a process"
		}
		w.unstubbed(i, t, fmt.Sprintf("%s, attempt %d", what, d.Attempt), d.Input, why)
		return
	}
	a := &attempt{d, stub}
	w.attempts[d.Key] = a
	if stub.Answer.NoAdapter {
		return
	}
	if !stub.idempotent(d.Activity) {
		if err := w.decide(i, workflow.Sent{Key: d.Key, Attempt: d.Attempt, Ledger: ledger, MaybeStarted: d.MaybeStarted}); err != nil {
			w.answer(i, a, journalv1.Outcome_OUTCOME_NOT_DONE, nil, nil) // it is not wanted any more
			return
		}
	}
	outcome, output, p := stub.Answer.outcome()
	at := w.now.Add(stub.After)
	if within := d.RunWithin; within > 0 && (stub.Answer.Never || stub.After > within) {
		at, outcome, output = w.now.Add(within), journalv1.Outcome_OUTCOME_IN_DOUBT, nil
		p = &problemv1.Problem{
			Type: workflow.ErrorTypeTimeout, Title: "Timeout", Status: 408, Detail: "the activity was interrupted after the time of runWithin",
		}
	} else if stub.Answer.Never {
		return
	}
	do := func() { w.answer(i, a, outcome, output, p) }
	if at.Equal(w.now) {
		w.soon(do)
		return
	}
	w.at(at, do)
}

// idempotent tells whether an activity may be executed again with the same key.
func (s *Stub) idempotent(activity string) bool {
	if s.Idempotent != nil {
		return *s.Idempotent
	}
	_, again := definition.Builtin(activity)
	return again
}

// outcome is what an adapter tells that answers so.
func (a *Answer) outcome() (journalv1.Outcome, []byte, *problemv1.Problem) {
	switch {
	case a.Fault != nil:
		return journalv1.Outcome_OUTCOME_FAILED, nil, a.Fault
	case a.Doubt != nil:
		return journalv1.Outcome_OUTCOME_IN_DOUBT, nil, a.Doubt
	}
	return journalv1.Outcome_OUTCOME_SUCCEEDED, a.Result, nil
}

// answer tells the outcome of an attempt, unless that was told before.
func (w *world) answer(i *instance, a *attempt, outcome journalv1.Outcome, output []byte, p *problemv1.Problem) {
	if w.attempts[a.Key] != a {
		return
	}
	delete(w.attempts, a.Key)
	w.must(i, workflow.TaskResult{
		Key: a.Key, Attempt: a.Attempt, Activity: withoutVersion(a.Activity), Outcome: outcome, Output: output, Error: p,
	})
}

// stopAttempt asks an adapter to give up an attempt. One that answers at a time of its own goes on until then.
func (w *world) stopAttempt(i *instance, e workflow.CancelAttempt) {
	a := w.attempts[e.Key]
	switch {
	case a == nil || a.Attempt != e.Attempt:
	case a.stub.Answer.NoAdapter:
		w.answer(i, a, journalv1.Outcome_OUTCOME_NOT_DONE, nil, nil)
	case e.Withdraw:
		w.must(i, workflow.GoesOn{Key: e.Key, Attempt: e.Attempt})
	case a.stub.Answer.Never:
		w.answer(i, a, journalv1.Outcome_OUTCOME_IN_DOUBT, nil, nil)
	}
}

// stub finds the first stub that answers for a task with an input, and counts that. Without one, it tells why those don't that are for the
// task.
func (w *world) stub(t *workflow.Task, called string, input []byte) (*Stub, []string) {
	var why []string
	for n, s := range w.c.Stubs {
		switch {
		case !s.isFor(t, called):
		case s.Times > 0 && w.uses[n] == s.Times:
			why = append(why, fmt.Sprintf("the stub on line %d has answered %d times already", s.Line, s.Times))
		default:
			differences := s.Input.differences(input)
			if len(differences) == 0 {
				w.uses[n]++
				return s, nil
			}
			why = append(why, fmt.Sprintf("the stub on line %d is for another input:", s.Line))
			why = append(why, indented(differences)...)
		}
	}
	return nil, why
}

// isFor tells whether a stub is for a task, by what that calls: adapter.activity, or the definition of a child.
func (s *Stub) isFor(t *workflow.Task, called string) bool {
	switch {
	case s.Task != "":
		return isNamed(t, s.Task)
	case s.Activity != "":
		return s.Activity == called
	}
	if _, runs := t.Kind.(*workflow.Run); !runs {
		return false
	}
	return s.Workflow == called || s.Workflow == withoutVersion(called)
}

// unstubbed fails the case: nothing answers for a task.
func (w *world) unstubbed(i *instance, t *workflow.Task, called string, input []byte, why []string) {
	f := Failure{
		What: fmt.Sprintf("no stub answers for task %s (%s)", t.Name, called), Task: t.Ref, Definition: i.state.Definition(),
		Details: []string{"its input: " + clipped(input)},
	}
	f.Details = append(f.Details, why...)
	advice := "- {task: " + t.Name + ", result: {}}"
	if len(why) > 0 {
		advice = "the input or the number of one of them, or another one"
	}
	f.Details = append(f.Details, "to mend that, add to the stubs of the case: "+advice)
	w.fail(f)
}

// standing tells where the orders stand that have not ended, each in lines of its own.
func (w *world) standing() []string {
	var out []string
	for _, i := range w.accepted {
		if i.state.Ended() {
			continue
		}
		for _, d := range i.state.Attempts() {
			out = append(out, fmt.Sprintf("order %s waits at %s for the activity %s, attempt %d", i.id, d.Task, d.Activity, d.Attempt))
		}
		for _, wait := range i.state.Waits() {
			switch {
			case wait.Until.IsZero():
				out = append(out, fmt.Sprintf("order %s listens at %s for events of the types %s", i.id, wait.Task, typesOf(wait.Events)))
			default:
				out = append(out, fmt.Sprintf("order %s waits at %s until %s", i.id, wait.Task, wait.Until.UTC().Format(time.RFC3339)))
			}
		}
		for _, child := range i.state.Awaited() {
			out = append(out, fmt.Sprintf("order %s waits for its child %s%s", i.id, child, w.ofChild(messages.OrderID(child))))
		}
		if !i.state.QueuedSince().IsZero() {
			out = append(out, fmt.Sprintf("order %s waits for the order key %q", i.id, i.state.Key()))
		}
	}
	return out
}
