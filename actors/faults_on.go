//go:build faults

package actors

// Inject is called in the turns of orders, partitions and dispatchers, with what it is and which, and may panic or never
// return. It exists only in binaries that are built with the tag faults, to see what becomes of them. It must be set before
// the engine is made.
var Inject = func(_, _ string) {}

var inject = func(point, name string) { Inject(point, name) }
