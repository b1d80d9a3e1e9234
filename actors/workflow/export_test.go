package workflow

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
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
		if f.IsZero() || name == "def" || name == "limits" || name == "kind" {
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
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			d.value(v.MapIndex(k), indent, fmt.Sprintf("%s[%s]", name, k))
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
