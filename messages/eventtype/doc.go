// Package eventtype writes the types of events, as holdfast.order.v1.EventType has them, for people and scripts: the type
// EVENT_TYPE_ATTEMPT_IN_DOUBT is attempt.in_doubt. Histories, the command line and whatever else shows events take the names from here.
//
// It is pure, and never fails: what it does not know has no name, or no type.
package eventtype
