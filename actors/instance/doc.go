// Package instance is the shell round the machine of an instance that is no order: a virtual actor of the partition that its id belongs to,
// as an order is, which tells that the same.
//
//	          first message                   events committed
//	(away) ─────────────────► loading ──► idle ◄──────────────► committing
//	   ▲                                    │    messages come       │ conflict, fence, unknown outcome:
//	   └─────── released by its partition ──┘                        └─► state dropped, loaded again
//
// It decides, commits, and only then acts and answers. What is outstanding the machine has in its state, and does after each commit and
// whenever the state was read, unless this activation has begun with it.
//
// How it fails: as an order does. An instance that panics again and again refuses everything, and its log says why.
//
// What it is not: it knows no kind of instances. Each brings its machine.
package instance
