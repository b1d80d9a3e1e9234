package workflow

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Dump tells all that a state holds, field by field, whatever fields there are: two states that dump alike decide alike.
// What is cached only (the decoded form of a value) and what does not change (the definition, the limits) is left out.
// show prints the messages that it holds.
func (s *State) Dump(show func(proto.Message) string) string {
	d := dumper{show: show}
	d.fields(reflect.ValueOf(s).Elem(), "")
	return d.out.String()
}

// Clone returns a state that is alike and changes by itself.
func (s *State) Clone() *State { return s.clone() }

type dumper struct {
	show func(proto.Message) string
	out  strings.Builder
}

// fields prints the fields of a struct that are not zero, a line each, with those of structs inside indented.
func (d *dumper) fields(v reflect.Value, indent string) {
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		if f.IsZero() || name == "def" || name == "limits" || name == "lastAt" { // the last is the time of an event that was just shown
			continue
		}
		if p, ok := parent(f); ok {
			d.line(indent, name, p)
			continue
		}
		d.value(f, indent, name)
	}
}

// parent names the frame that a frame is in.
func parent(f reflect.Value) (string, bool) {
	if f.Type() != reflect.TypeFor[*frame]() {
		return "", false
	}
	return fmt.Sprintf("frame %d", (*frame)(f.UnsafePointer()).id), true
}

func (d *dumper) value(v reflect.Value, indent, name string) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		if text, ok := d.pointer(v); ok {
			d.line(indent, name, text)
			return
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		d.line(indent, name, "")
		d.fields(v, indent+"  ")
	case reflect.Slice:
		for i := range v.Len() {
			d.value(v.Index(i), indent, fmt.Sprintf("%s[%d]", name, i))
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		for _, k := range keys {
			d.value(v.MapIndex(k), indent, fmt.Sprintf("%s[%v]", name, k))
		}
	default:
		d.line(indent, name, fmt.Sprint(v))
	}
}

// pointer prints what is known by a name or by its bytes.
func (d *dumper) pointer(v reflect.Value) (string, bool) {
	p := v.UnsafePointer()
	switch v.Type() {
	case reflect.TypeFor[*Value]():
		return string((*Value)(p).JSON()), true
	case reflect.TypeFor[*Task]():
		return (*Task)(p).Ref, true
	case reflect.TypeFor[*List]():
		return "of " + (*List)(p).Tasks[0].Ref, true
	}
	if m, ok := reflect.TypeAssert[proto.Message](reflect.NewAt(v.Type().Elem(), p)); ok {
		return d.show(m), true
	}
	return "", false
}

func (d *dumper) line(indent, name, text string) {
	d.out.WriteString(strings.TrimRight(fmt.Sprintf("%s%s %s", indent, name, text), " ") + "\n")
}

// ReopenedAt returns the frame that a reopening is about, and the path of the branches around its task.
func (s *State) ReopenedAt(e *journalv1.OrderReopened) (frame uint32, path string) {
	f := s.reopenedAt(e, s.def.Tasks[e.GetTask()])
	if f == nil {
		return 0, ""
	}
	return f.id, f.reopenedOn(e.GetHow())
}

// FallenBeside tells whether the frame of a key was ended by an error that waits for other branches.
func (s *State) FallenBeside(key string) bool { return s.fallenBeside(key) != nil }

// Beside returns the frames that are in other branches than one, as Dump does.
func (s *State) Beside(id uint32, show func(proto.Message) string) map[uint32]string {
	f := s.frame(id)
	if f == nil {
		return nil
	}
	out := s.Frames(show)
	for _, x := range s.frames {
		if home := f.home(); x.inside(home) || home.inside(x) {
			delete(out, x.id)
		}
	}
	return out
}

// Frames returns all frames, as Dump does.
func (s *State) Frames(show func(proto.Message) string) map[uint32]string {
	out := map[uint32]string{}
	for _, f := range s.frames {
		d := dumper{show: show}
		d.fields(reflect.ValueOf(f).Elem(), "")
		out[f.id] = d.out.String()
	}
	return out
}

// Wrong says what is wrong with the frames of an open order; empty if nothing is. Each frame can go on, or has exactly one reason
// not to.
func (s *State) Wrong() string {
	inside := map[*frame]int{}
	for i, f := range s.frames {
		switch {
		case i > 0 && s.frames[i-1].id >= f.id:
			return fmt.Sprintf("frame %d is behind frame %d", f.id, s.frames[i-1].id)
		case f.parent != nil && !slices.Contains(s.frames[:i], f.parent):
			return fmt.Sprintf("frame %d is inside of one that is gone", f.id)
		case f.parent != nil:
			inside[f.parent]++
		}
	}
	for _, f := range s.frames {
		b := f.branches
		switch n := inside[f]; {
		case b == nil && n > 1:
			return fmt.Sprintf("frame %d has %d tasks inside", f.id, n)
		case s.Ended():
			continue
		case b != nil && (b.live != n || b.begun > b.total || b.live > b.most):
			return fmt.Sprintf("frame %d has %d branches, but knows of %+v", f.id, n, *b)
		}
		var reasons []string
		for reason, is := range map[string]bool{
			"inside": inside[f] > 0, "attempt": f.inFlight(), "child": f.awaits() && f.phase == phaseBlocked, "due": f.due != 0, "slowed": f.slowed != 0,
			"failed": f.undo != nil && f.undo.failed != 0, "durable": f.emits() && f.phase == phaseBlocked, "events": f.listens() && inside[f] == 0,
		} {
			if is {
				reasons = append(reasons, reason)
			}
		}
		if f.stop != nil && len(reasons) == 0 {
			continue // it is being left
		}
		if free := f.phase != phaseBlocked; free && len(reasons) > 0 && b == nil || !free && len(reasons) != 1 {
			return fmt.Sprintf("frame %d is in phase %d, but waits for %v", f.id, f.phase, reasons)
		}
	}
	return ""
}
