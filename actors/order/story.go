package order

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
	"github.com/holdfast-run/holdfast/supervision"
)

// Story logs what happens to orders: errors for what waits for a person, warnings for what failed, information about what
// people did, and all else for debugging. It is told what was committed, and nothing else; inputs and outputs are not in it.
type Story struct {
	log *slog.Logger
	// all: it tells everything.
	all bool
}

// NewStory makes one that logs so many lines a second at most; negative: any number.
func NewStory(log *slog.Logger, perSecond int) Story {
	return Story{log: supervision.Bounded(log, perSecond), all: log.Enabled(context.Background(), slog.LevelDebug)}
}

// line is a line of the log that waits for its commit.
type line struct {
	level   slog.Level
	message string
	attrs   []slog.Attr
}

// tell logs what was committed.
func (s Story) tell(id messages.OrderID, lines []line) {
	for _, l := range lines {
		attrs := append([]slog.Attr{slog.String("order", string(id))}, l.attrs...)
		s.log.LogAttrs(context.Background(), l.level, l.message, attrs...) //nolint:sloglint // the messages are constants
	}
}

// entered returns the tasks that an order is in, if a command may lead to lines that tell of one which is left then.
func (s Story) entered(state *workflow.State, cmd workflow.Command) []*journalv1.TaskEntered {
	if !s.all {
		switch c := cmd.(type) {
		case workflow.Accept, workflow.Start, workflow.Overflow, workflow.Sent, workflow.Told, workflow.Continue:
			return nil
		case workflow.ResultMessage:
			if c.GetOutcome() == journalv1.Outcome_OUTCOME_SUCCEEDED && c.GetError() == nil {
				return nil
			}
		}
	}
	return state.Entered().GetTasks()
}

// lines are those about the events of a decision. entered are the tasks that the order was in before, from is who asked for it.
func (s Story) lines(
	state *workflow.State, entered []*journalv1.TaskEntered, events []*journalv1.Event, from *nodev1.Envelope,
) []line {
	var out []line
	for _, ev := range events {
		if !s.all && isCommon(ev) {
			continue
		}
		l := failed(ev)
		if l.message == "" {
			l = operation(ev)
		}
		if l.message == "" && s.all {
			l = progressed(ev)
		}
		if l.message == "" {
			continue
		}
		l.attrs = slices.Concat(where(ev, state, entered, events), processOf(ev, from), l.attrs)
		if l.level == slog.LevelError {
			l.attrs = append(l.attrs, slog.String("definition", state.Definition().Ref.String()))
		}
		out = append(out, l)
	}
	return out
}

// isCommon tells of the events that happen most whether it is one of them, about which there are no lines but of progress.
func isCommon(ev *journalv1.Event) bool {
	switch ev.GetKind().(type) {
	case *journalv1.Event_OrderAccepted, *journalv1.Event_OrderStarted, *journalv1.Event_TaskStarted, *journalv1.Event_TaskCompleted,
		*journalv1.Event_AttemptScheduled, *journalv1.Event_AttemptSent:
		return true
	}
	return false
}

// failed is the line about something that went wrong; one without a message if nothing did.
func failed(ev *journalv1.Event) line {
	switch k := ev.GetKind().(type) {
	case *journalv1.Event_OrderFaulted:
		e := k.OrderFaulted
		return line{
			slog.LevelError, "order has faulted, and waits for an operator", append(problem(e.GetError()), who(e.GetBy(), e.GetReason())...),
		}
	case *journalv1.Event_AttemptEnded:
		e := k.AttemptEnded
		switch {
		case e.GetOutcome() == journalv1.Outcome_OUTCOME_FAILED:
			return line{slog.LevelWarn, "attempt failed", problem(e.GetError())}
		case e.GetOutcome() == journalv1.Outcome_OUTCOME_IN_DOUBT:
			return line{slog.LevelWarn, "attempt is in doubt", problem(e.GetError())}
		case e.GetOutcome() == journalv1.Outcome_OUTCOME_SUCCEEDED && e.GetError() != nil:
			return line{slog.LevelWarn, "attempt is done, and its output can't be used", problem(e.GetError())}
		}
	case *journalv1.Event_AttemptLost:
		e := k.AttemptLost
		return line{slog.LevelWarn, "adapter process was lost with an attempt", []slog.Attr{
			slog.String("process", e.GetProcess()), slog.Bool("alone", e.GetAlone()), slog.Bool("suspect", e.GetSuspect()),
		}}
	case *journalv1.Event_AttemptOverdue:
		if !k.AttemptOverdue.GetGoesOn() {
			return line{slog.LevelWarn, "the time has passed by which an adapter should have got an attempt", nil}
		}
	case *journalv1.Event_LateResult:
		return line{slog.LevelWarn, "result came when nobody waited for it", problem(k.LateResult.GetError())}
	case *journalv1.Event_StopRequested:
		if e := k.StopRequested; e.GetCause() == journalv1.StopCause_STOP_CAUSE_TIMEOUT {
			return line{slog.LevelWarn, "time is over", problem(e.GetError())}
		}
	}
	return line{}
}

// operation is the line about what a person has done; one without a message if it was nobody.
func operation(ev *journalv1.Event) line {
	told := func(message, by, reason string, more ...slog.Attr) line {
		return line{slog.LevelInfo, message, append(more, who(by, reason)...)}
	}
	switch k := ev.GetKind().(type) {
	case *journalv1.Event_OrderReopened:
		e := k.OrderReopened
		how := strings.ToLower(strings.TrimPrefix(e.GetHow().String(), "REOPENING_"))
		return told("order goes on after its fault", e.GetBy(), e.GetReason(), slog.String("how", how))
	case *journalv1.Event_OrderSuspended:
		return told("order is suspended", k.OrderSuspended.GetBy(), k.OrderSuspended.GetReason())
	case *journalv1.Event_OrderResumed:
		return told("order is resumed", k.OrderResumed.GetBy(), k.OrderResumed.GetReason())
	case *journalv1.Event_KeyReleased:
		return told("order lets the next one of its key go on", k.KeyReleased.GetBy(), k.KeyReleased.GetReason())
	case *journalv1.Event_OrderCancelled:
		return told("order is cancelled", k.OrderCancelled.GetBy(), k.OrderCancelled.GetReason())
	case *journalv1.Event_OrderCompleted:
		if e := k.OrderCompleted; e.GetBy() != "" {
			return told("order is completed by hand", e.GetBy(), e.GetReason())
		}
	case *journalv1.Event_StopRequested:
		e := k.StopRequested
		switch e.GetCause() { //nolint:exhaustive // the others are no operations
		case journalv1.StopCause_STOP_CAUSE_CANCEL:
			return told("order is to be cancelled", e.GetBy(), e.GetReason(), slog.Bool("compensate", e.GetCompensate()))
		case journalv1.StopCause_STOP_CAUSE_COMPLETE:
			return told("order is to be completed by hand", e.GetBy(), e.GetReason())
		case journalv1.StopCause_STOP_CAUSE_FAULT:
			return told("order is to fault", e.GetBy(), e.GetReason(), problem(e.GetError())...)
		}
	}
	return line{}
}

// progressed is the line about anything else.
func progressed(ev *journalv1.Event) line {
	l := line{slog.LevelDebug, spoken(string(kindOf(ev).Descriptor().Name())), nil}
	switch k := ev.GetKind().(type) {
	case *journalv1.Event_OrderAccepted:
		l.attrs = []slog.Attr{slog.String("definition", k.OrderAccepted.GetDefinition()), slog.String("order_key", k.OrderAccepted.GetOrderKey())}
	case *journalv1.Event_AttemptSent:
		l.attrs = []slog.Attr{slog.String("ledger", k.AttemptSent.GetLedger()), slog.Bool("maybe_started", k.AttemptSent.GetMaybeStarted())}
	case *journalv1.Event_AttemptFound:
		l.attrs = []slog.Attr{slog.String("process", k.AttemptFound.GetProcess()), slog.Bool("kept", k.AttemptFound.GetKept())}
	case *journalv1.Event_WaitStarted:
		l.attrs = []slog.Attr{slog.Time("due", time.Unix(0, k.WaitStarted.GetDue()))}
	case *journalv1.Event_RetryScheduled:
		l.attrs = append(problem(k.RetryScheduled.GetError()),
			slog.Uint64("retry", uint64(k.RetryScheduled.GetRetry())), slog.Time("due", time.Unix(0, k.RetryScheduled.GetDue())))
	case *journalv1.Event_TaskFaulted:
		l.attrs = problem(k.TaskFaulted.GetError())
	case *journalv1.Event_CatchStarted:
		l.attrs = problem(k.CatchStarted.GetError())
	case *journalv1.Event_ChildScheduled:
		l.attrs = []slog.Attr{slog.String("definition", k.ChildScheduled.GetDefinition())}
	case *journalv1.Event_ChildFaulted:
		l.attrs = problem(k.ChildFaulted.GetError())
	}
	return l
}

// where tells of which task, attempt and child an event is: as it says itself, as the tasks entered say, or as the events
// before it in the same decision do.
func where(
	ev *journalv1.Event, state *workflow.State, entered []*journalv1.TaskEntered, events []*journalv1.Event,
) []slog.Attr {
	body := kindOf(ev)
	field := func(name protoreflect.Name) (v protoreflect.Value) {
		if f := body.Descriptor().Fields().ByName(name); f != nil {
			v = body.Get(f)
		}
		return v
	}
	at := &journalv1.TaskEntered{}
	if ev.GetOrderFaulted() != nil {
		at.Task, _ = state.Place()
		for _, t := range entered {
			if t.GetTask() == at.GetTask() {
				at = proto.CloneOf(t)
			}
		}
	} else if frame := field("frame"); frame.IsValid() {
		at = enteredAs(uint32(frame.Uint()), ev, entered, events) //nolint:gosec // that is what it is
	}
	for name, own := range map[protoreflect.Name]*string{"task": &at.Task, "activity": &at.Activity, "key": &at.Key, "child_id": &at.ChildId} {
		if v := field(name); v.IsValid() && v.String() != "" {
			*own = v.String()
		}
	}
	if v := field("attempt"); v.IsValid() && v.Uint() != 0 {
		at.Attempt = uint32(v.Uint()) //nolint:gosec // that is what it is
	}
	attrs := slices.Concat(
		text("task", at.GetTask()), text("activity", at.GetActivity()), text("key", at.GetKey()), text("child", at.GetChildId()))
	if at.GetAttempt() != 0 {
		attrs = append(attrs, slog.Uint64("attempt", uint64(at.GetAttempt())))
	}
	return attrs
}

// processOf tells which adapter process told what came of an attempt.
func processOf(ev *journalv1.Event, from *nodev1.Envelope) []slog.Attr {
	if ev.GetAttemptEnded() == nil && ev.GetLateResult() == nil {
		return nil
	}
	return text("process", from.GetTaskResult().GetProcess())
}

// enteredAs tells what the number of a frame stands for in an event.
func enteredAs(
	frame uint32, ev *journalv1.Event, entered []*journalv1.TaskEntered, events []*journalv1.Event,
) *journalv1.TaskEntered {
	at := &journalv1.TaskEntered{}
	for _, t := range entered {
		if t.GetFrame() == frame {
			at = proto.CloneOf(t)
		}
	}
	for _, before := range events {
		if before == ev {
			break
		}
		if e := before.GetTaskStarted(); e != nil && e.GetFrame() == frame {
			at.Task = e.GetTask()
		}
		if e := before.GetAttemptScheduled(); e != nil && e.GetFrame() == frame {
			at.Activity, at.Key, at.Attempt = e.GetActivity(), e.GetKey(), e.GetAttempt()
		}
	}
	return at
}

// kindOf is the message of an event's kind.
func kindOf(ev *journalv1.Event) protoreflect.Message {
	m := ev.ProtoReflect()
	return m.Get(m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))).Message()
}

// spoken makes words of a name: attempt sent of AttemptSent.
func spoken(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func who(by, reason string) []slog.Attr {
	return append(text("by", by), text("reason", reason)...)
}

// problem tells of an error.
func problem(p *problemv1.Problem) []slog.Attr {
	if p == nil {
		return nil
	}
	return slices.Concat([]slog.Attr{slog.Int("status", int(p.GetStatus()))},
		text("type", p.GetType()), text("title", p.GetTitle()), text("detail", p.GetDetail()))
}

// longestText bounds what a line has of a text that somebody else wrote, in bytes. The history has all of it.
const longestText = 512

// text is an attribute for a text; none if it is empty.
func text(name, value string) []slog.Attr {
	switch {
	case value == "":
		return nil
	case len(value) > longestText:
		end := longestText
		for !utf8.RuneStart(value[end]) {
			end--
		}
		value = value[:end] + "…"
	}
	return []slog.Attr{slog.String(name, value)}
}
