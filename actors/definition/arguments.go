package definition

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/holdfast-run/holdfast/messages"
)

// arguments checks what is written out of the arguments of a call against the message that its method takes. What expressions make is
// checked when the call is made.
func (c *compiler) arguments(n *node, d protoreflect.MessageDescriptor, files *protoregistry.Files) {
	if n.kind != objectKind {
		return
	}
	a := argued{c, dynamicpb.NewTypes(files)}
	before := len(c.list)
	if messages.WellKnownFile(d.ParentFile().Path()) == nil {
		a.fields(n, d)
	}
	if len(c.list) == before && c.written(n) {
		a.fits(n, n.value(), d, false, fmt.Sprintf("does not make the message %s", d.FullName()))
	}
}

// argued checks arguments. types are those that a google.protobuf.Any can hold.
type argued struct {
	*compiler

	types *dynamicpb.Types
}

// fields checks the properties of an object against the fields of a message.
func (c argued) fields(n *node, d protoreflect.MessageDescriptor) {
	for i, k := range n.keys {
		f := d.Fields().ByJSONName(k.name)
		if f == nil {
			f = d.Fields().ByTextName(k.name)
		}
		if f == nil {
			var known []string
			for j := range d.Fields().Len() {
				known = append(known, d.Fields().Get(j).JSONName())
			}
			c.atKeyf(n, k, "the message %s has no field %s: %s", d.FullName(), shorten(k.name, 60), hint(k.name, known, "it has none"))
			continue
		}
		c.field(n.items[i], f)
	}
}

// field checks the value of a field.
func (c argued) field(n *node, f protoreflect.FieldDescriptor) {
	single := func(v any) any { return v }
	switch {
	case n.kind == nullKind, !c.written(n) && n.kind == stringKind:
	case f.IsMap() && n.kind == objectKind:
		of := map[protoreflect.Kind]string{protoreflect.StringKind: "k", protoreflect.BoolKind: "true"}[f.MapKey().Kind()]
		if of == "" {
			of = "1"
		}
		for _, item := range n.items {
			c.single(item, f, f.MapValue(), func(v any) any { return map[string]any{of: v} })
		}
	case f.IsMap():
		c.atf(n, "%q must be an object, as the field %s is a map, but is %s", n.property(), f.FullName(), n.describe())
	case f.IsList() && n.kind == listKind:
		for _, item := range n.items {
			c.single(item, f, f, func(v any) any { return []any{v} })
		}
	case f.IsList():
		c.atf(n, "%q must be a list, as the field %s is repeated, but is %s", n.property(), f.FullName(), n.describe())
	default:
		c.single(n, f, f, single)
	}
}

// single checks a value that a field has, or one of those that it has. within makes of it what the whole field has.
func (c argued) single(n *node, f, of protoreflect.FieldDescriptor, within func(any) any) {
	d := of.Message()
	isPlain := d != nil && messages.WellKnownFile(d.ParentFile().Path()) == nil
	switch {
	case !c.written(n) && n.kind == stringKind:
	case isPlain && n.kind == objectKind:
		c.fields(n, d)
	case isPlain:
		c.atf(n, "%q must be an object with the fields of the message %s, but is %s", n.property(), d.FullName(), n.describe())
	case c.written(n):
		c.fits(n, map[string]any{f.TextName(): within(n.value())}, f.ContainingMessage(), true, "must be "+typeOf(of)+", but is "+n.describe())
	}
}

// fits checks whether a value makes a message. part: others of its fields may be missing.
func (c argued) fits(n *node, value any, d protoreflect.MessageDescriptor, part bool, problem string) {
	text, err := json.Marshal(value)
	if err == nil {
		err = protojson.UnmarshalOptions{AllowPartial: part, Resolver: c.types}.Unmarshal(text, dynamicpb.NewMessage(d))
	}
	if err != nil {
		c.atf(n, "%q %s", n.property(), problem)
	}
}

// typeOf says what a field takes.
func typeOf(f protoreflect.FieldDescriptor) string {
	switch {
	case f.Message() != nil:
		return fmt.Sprintf("a %s as JSON has it", f.Message().FullName())
	case f.Enum() != nil:
		var names []string
		for i := range min(f.Enum().Values().Len(), 12) {
			names = append(names, string(f.Enum().Values().Get(i).Name()))
		}
		return quoted(names)
	}
	return "a value of the type " + f.Kind().String()
}

// written tells whether a value is written out, without any expression.
func (c *compiler) written(n *node) bool {
	if n.kind == stringKind {
		return !c.loose && !n.isExpression()
	}
	for _, item := range n.items {
		if !c.written(item) {
			return false
		}
	}
	return true
}
