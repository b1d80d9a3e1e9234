// Package simulation runs a cluster of five nodes on one goroutine, from a seed. What decides is the product's own: the lease
// (cluster/lease), who the members are (cluster/topology), who is to own what (cluster/placement), and the lifecycle of a partition
// (actors/partition). All around is made up, and fails: Consul with its agents, the journal and its standbys, adapters, the links, the
// clocks, the processes.
//
//	clients ──► node: lease · topology · placement · lifecycles ──► adapters, with a ledger
//	             │  │  ▲                                    │
//	             │  │  └── refreshes, evidence, watch ── Consul: an agent beside each node, servers
//	             │  └───── questions, watermarks ──────── peers
//	             └──────── claims, fences, commits ────── journal: lanes, fences, epochs, versions, standbys
//
// A world has some seconds to begin, then up to six faults, which may overlap, and then until all is well again:
//
//	begin ──► faults ──► healing ──► every node holds its lease, every partition is owned by one, every order has ended
//	                        └──────► not within a minute: the world has failed
//
// What must hold in each world, whatever happens: never two commits under one version of an order, confirmed or not; what was confirmed to
// a node is in the journal, in the end; no owner has a conflict; epochs rise; no task is executed twice; and all is well in the end.
//
// A Report has how many faults of each kind there were, and how often what they are there for has come of them: that a lapsed node was
// taken over from, that a commit which was late met a fence, that a standby was refused. A kind of which nothing has come has proved
// nothing: Idle names it.
//
// How it fails: Run returns what went wrong, with the seed, which shows it again.
//
// What it is not: a test of the shells round these step functions, of PostgreSQL, of Consul, or of orders: theirs have two calls in a
// row. Two things are left out, as they lose data by design: a standby that is promoted when nobody who knows better can be asked, and
// a Consul that forgets the watermarks at that moment.
package simulation
