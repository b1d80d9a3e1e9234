package eventtype

import (
	"strings"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// names are the names of all types, and types are the types with these names.
var (
	names = map[orderv1.EventType]string{} //nolint:gochecknoglobals // a table
	types = map[string]orderv1.EventType{} //nolint:gochecknoglobals // a table
)

func init() { //nolint:gochecknoinits // it fills the tables
	for number, text := range orderv1.EventType_name {
		t := orderv1.EventType(number)
		if t == orderv1.EventType_EVENT_TYPE_UNSPECIFIED {
			continue
		}
		thing, what, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(text, "EVENT_TYPE_")), "_")
		names[t] = thing + "." + what
		types[names[t]] = t
	}
}

// Name is the name of a type. That of one which is not known here, and of EVENT_TYPE_UNSPECIFIED, is empty.
func Name(t orderv1.EventType) string { return names[t] }

// Named is the type with a name; EVENT_TYPE_UNSPECIFIED if none is known here that has it.
func Named(name string) orderv1.EventType { return types[name] }
