package workflow

import (
	"encoding/json"
	"fmt"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// ErrorTypeInDoubt is the type of the error that an activity raises when nobody knows whether it was executed.
const ErrorTypeInDoubt = "https://holdfast.run/errors/in-doubt"

// ErrorTypeQuarantined is the type of the error of a task that was set apart because adapters died under it again and again.
const ErrorTypeQuarantined = messages.ErrorTypeQuarantined

// ErrorTypeUnreported is the type of the error of a task whose work was done, and whose output could not be reported.
const ErrorTypeUnreported = messages.ErrorTypeUnreported

func problem(typ, title string, status int32, instance, detail string) *problemv1.Problem {
	return &problemv1.Problem{Type: typ, Title: title, Status: status, Detail: detail, Instance: instance}
}

func expressionProblem(t *Task, err error) *problemv1.Problem {
	return problem(ErrorTypeExpression, "Expression failed", 400, refOf(t), err.Error())
}

// undecidedProblem is the error of a catch clause that could not decide about another error. It takes the place of that, and so
// tells it.
func undecidedProblem(t *Task, err error, about *problemv1.Problem) *problemv1.Problem {
	p := expressionProblem(t, err)
	p.Detail += fmt.Sprintf("; the error to be caught was %s (%d) at %s", about.GetType(), about.GetStatus(), about.GetInstance())
	for _, more := range []string{about.GetTitle(), about.GetDetail()} {
		if more != "" {
			p.Detail += ": " + more
		}
	}
	return p
}

func validationProblem(t *Task, what string, err error) *problemv1.Problem {
	return problem(ErrorTypeValidation, what+" is not valid", 400, refOf(t), err.Error())
}

func timeoutProblem(instance, what string) *problemv1.Problem {
	return problem(ErrorTypeTimeout, "Timeout", 408, instance, what)
}

// triedInVain tells whether an error says that trying again is harmful: the work was done, or kills whoever does it. No policy
// retries it.
func triedInVain(p *problemv1.Problem) bool {
	return p.GetType() == ErrorTypeUnreported || p.GetType() == ErrorTypeQuarantined
}

// attemptProblem is the error that an attempt's outcome raises. That an outcome is in doubt is known by the outcome: the error
// says why, if the adapter did.
func attemptProblem(t *Task, e *journalv1.AttemptEnded) *problemv1.Problem {
	p := &problemv1.Problem{
		Type: e.GetError().GetType(), Title: e.GetError().GetTitle(), Status: e.GetError().GetStatus(),
		Detail: e.GetError().GetDetail(), Instance: t.Ref,
	}
	switch {
	case e.GetOutcome() == journalv1.Outcome_OUTCOME_SUCCEEDED:
		p.Type = ErrorTypeUnreported
		if p.GetTitle() == "" {
			p.Title = "Done, but its output can't be reported"
		}
	case e.GetOutcome() == journalv1.Outcome_OUTCOME_IN_DOUBT && p.GetType() == "":
		p.Type, p.Status = ErrorTypeInDoubt, 500
		if p.GetTitle() == "" {
			p.Title = "Outcome in doubt"
		}
	}
	if p.GetType() == "" {
		p.Type = ErrorTypeCommunication
	}
	if p.GetStatus() == 0 {
		p.Status = 500
	}
	if p.GetTitle() == "" {
		p.Title = "Activity failed"
	}
	return p
}

// refOf is the JSON pointer to a task, or to the whole of the document, which is empty.
func refOf(t *Task) string {
	if t == nil {
		return ""
	}
	return t.Ref
}

// problemValue is what expressions see of an error.
func problemValue(p *problemv1.Problem) *Value {
	m := map[string]any{
		"type": p.GetType(), "title": p.GetTitle(), "status": json.Number(fmt.Sprint(p.GetStatus())),
		"detail": p.GetDetail(), "instance": p.GetInstance(),
	}
	for k, v := range m {
		if v == "" {
			delete(m, k)
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("marshal a map of strings: %v", err))
	}
	return NewDecoded(raw, m)
}
