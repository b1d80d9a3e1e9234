// Package adaptertest tests adapters: it holds a node that speaks the adapter protocol and does nothing else. A test
// starts one, runs an adapter against it, sends tasks and looks at the results:
//
//	node := adaptertest.Start(t)
//	node.Run(newAdapter(), adapters.Config{})
//	result := node.Do(t.Context(), "createSubscriber", Subscriber{…})
//
// The node checks what it receives against the protocol, and fails the test if the adapter breaks it. So it can also
// examine an adapter in another language: let that connect to Addr.
//
// For tests of nodes there is the other side: Dial opens an adapter's stream, on which the test itself says what it likes.
//
// The states of a stream: connected, welcomed (tasks flow), draining, ended. How it fails: waiting ends with the context,
// and fails the test. What it is not: a journal or a scheduler; what it acknowledges is in memory.
package adaptertest
