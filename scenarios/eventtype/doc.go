// Package eventtype has the types of events that the scenarios look for in histories. The nodes' API says what each means, in
// holdfast.order.v1.HistoryEvent.
//
// What it is not: all the types that there are, but only those that a scenario asks for.
package eventtype
