package journalv1

// EventKind is any kind of event, what Event.Kind holds.
type EventKind = isEvent_Kind
