// Package lifecycle tells what happens to an order in the words that all runtimes of the Open Workflow Specification have for it: it makes
// of an order's history the specification's lifecycle events, which are CloudEvents.
//
//	(an event of the history, such as task.completed) ─► Teller ─► none, one or some lifecycle events
//
// The same history makes the same lifecycle events, with the same ids: whoever tells them again, because it does not know how far it had
// come, tells nobody twice who goes by source and id, as those do that listen at a node.
//
// It does no I/O: client.Client.Watch has the history, and whoever calls delivers the events.
package lifecycle
