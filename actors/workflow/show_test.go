package workflow_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// show prints a message compactly: times as what they are after the clock of the transcripts began, standard error types
// by their last part, and nothing that is the same for all events of an order.
func show(m proto.Message) string {
	if ev, ok := m.(*journalv1.Event); ok {
		kind := ev.ProtoReflect().WhichOneof(ev.ProtoReflect().Descriptor().Oneofs().Get(0))
		inner := ev.ProtoReflect().Get(kind).Message()
		return strings.TrimSpace(string(inner.Descriptor().Name()) + " " + fields(inner))
	}
	return "{" + fields(m.ProtoReflect()) + "}"
}

func fields(m protoreflect.Message) string {
	var words []string
	all := m.Descriptor().Fields()
	for i := range all.Len() {
		if fd := all.Get(i); m.Has(fd) {
			if text := field(fd, m.Get(fd)); text != "" {
				words = append(words, string(fd.Name())+"="+text)
			}
		}
	}
	return strings.Join(words, " ")
}

func field(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch fd.Name() {
	case "definition", "content_hash", "order_id":
		return ""
	case "deadline", "due", "until", "timeout_at", "slowed_until":
		return sinceBegan(v.Int())
	case "type":
		name := v.String()
		return name[strings.LastIndexByte(name, '/')+1:]
	}
	if fd.IsList() {
		var items []string
		for i := range v.List().Len() {
			items = append(items, v.List().Get(i).String())
		}
		return strings.Join(items, ",")
	}
	switch fd.Kind() {
	case protoreflect.MessageKind:
		return show(v.Message().Interface())
	case protoreflect.EnumKind:
		name := string(fd.Enum().Values().ByNumber(v.Enum()).Name())
		return name[strings.IndexByte(name, '_')+1:]
	case protoreflect.BytesKind:
		return string(v.Bytes())
	case protoreflect.StringKind:
		if s := v.String(); strings.ContainsAny(s, " ") {
			return fmt.Sprintf("%q", s)
		}
	default:
	}
	return v.String()
}

func sinceBegan(ns int64) string { return "+" + time.Duration(ns-began.UnixNano()).String() }

func effects(list []workflow.Effect) string {
	var out strings.Builder
	for _, e := range list {
		switch e := e.(type) {
		case workflow.Dispatch:
			fmt.Fprintf(&out, "> dispatch %s attempt=%d to %s input=%s", e.Key, e.Attempt, e.Activity, e.Input)
			if e.Deadline != 0 {
				out.WriteString(" deadline=" + sinceBegan(e.Deadline))
			}
			if e.Ledger != "" {
				out.WriteString(" ledger=" + e.Ledger)
			}
			if e.MaybeStarted {
				out.WriteString(" maybe-started")
			}
			if e.Suspect {
				out.WriteString(" suspect")
			}
			if len(e.Deaths) > 0 {
				fmt.Fprintf(&out, " deaths=%v", e.Deaths)
			}
			if e.RunWithin != 0 {
				out.WriteString(" run-within=" + e.RunWithin.String())
			}
			if e.Follows {
				out.WriteString(" follows")
			}
			if e.Overflow != 0 {
				fmt.Fprintf(&out, " overflow=%d", e.Overflow)
			}
			out.WriteString("\n")
		case workflow.CancelAttempt:
			verb := "cancel"
			if e.Withdraw {
				verb = "withdraw"
			}
			fmt.Fprintf(&out, "> %s %s attempt=%d at %s\n", verb, e.Key, e.Attempt, e.Activity)
		case workflow.StartChild:
			fmt.Fprintf(&out, "> start child %s\n", child(e.Order))
		case workflow.CancelChild:
			fmt.Fprintf(&out, "> cancel child %s", e.Order.GetOrderId())
			if e.Compensate {
				out.WriteString(" compensate")
			}
			out.WriteString("\n")
		case workflow.TellParent:
			fmt.Fprintf(&out, "> tell parent %s: %s version %d\n", e.Parent.GetOrderId(), e.Result.Status, e.Result.Version)
		case workflow.More:
			out.WriteString("> more\n")
		case workflow.End:
			out.WriteString("> end\n")
		default:
			panic(fmt.Sprintf("unknown effect %T", e))
		}
	}
	return out.String()
}

func child(o *journalv1.OrderAccepted) string {
	line := fmt.Sprintf("%s of %s input=%s", o.GetOrderId(), o.GetDefinition(), o.GetInput())
	if o.GetOrderKey() != "" {
		line += fmt.Sprintf(" order-key=%s turns=%s queues=%t", o.GetOrderKey(), o.GetParent().GetTurns(), workflow.Queues(o))
	}
	if o.GetParent().GetDetached() {
		line += " detached"
	}
	return line + fmt.Sprintf(" depth=%d", o.GetParent().GetDepth())
}

// summary says in a line how an order stands.
func summary(s *workflow.State) string {
	line := strings.ToLower(strings.TrimPrefix(s.Status().String(), "STATUS_"))
	if due := s.NextDue(); !due.IsZero() {
		line += " due=" + sinceBegan(due.UnixNano())
	}
	if s.Ended() && s.Output() != nil {
		line += " output=" + string(s.Output().JSON())
	}
	if s.Error() != nil {
		line += " error=" + show(s.Error())
	}
	if s.Reason() != "" {
		line += fmt.Sprintf(" reason=%q", s.Reason())
	}
	if s.Parked() {
		line += " parked"
	}
	if s.HoldsKey() {
		line += " holds its key"
	}
	for _, w := range s.Waits() {
		if w.Slowed {
			line += " slowed at " + w.Task
		}
	}
	return line + "\n"
}

func record(events []*journalv1.Event) *journalv1.Record {
	return &journalv1.Record{FeatureLevel: 1, Events: events}
}

// refold reads a state back from a history.
func refold(t interface{ Fatal(args ...any) }, def *workflow.Definition, limits workflow.Limits, history [][]byte) *workflow.State {
	s := workflow.New(def, new(limits.WithDefaults()))
	for _, raw := range history {
		r := &journalv1.Record{}
		if err := proto.Unmarshal(raw, r); err != nil {
			t.Fatal(err)
		}
		for _, ev := range r.GetEvents() {
			s.Evolve(ev)
		}
	}
	return s
}

// Arguments of verbs.

func text(t *testing.T, d *datadriven.TestData, name string) string {
	t.Helper()
	arg, ok := d.Arg(name)
	if !ok {
		return ""
	}
	return strings.Join(arg.Vals, ", ")
}

func duration(t *testing.T, d *datadriven.TestData, name string) time.Duration {
	t.Helper()
	v, err := time.ParseDuration(text(t, d, name))
	if err != nil {
		d.Fatalf(t, "%s: %v", name, err)
	}
	return v
}

// key is that of order o unless it has an order of its own; the path alone will do.
func key(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	k := text(t, d, "key")
	if strings.HasPrefix(k, "/") {
		return "o:" + k
	}
	return k
}

func attempt(t *testing.T, d *datadriven.TestData) uint32 {
	t.Helper()
	n := uint64(1)
	d.MaybeScanArgs(t, "attempt", &n)
	return uint32(n)
}

func workflowVersion(n int) messages.Version { return messages.Version(n) }
