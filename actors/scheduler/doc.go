// Package scheduler has orders come into being by themselves: it is what there is round the machine of schedules, package schedule, and
// sees to it that they know what is deployed.
//
// There is one schedule for the definitions of a name, an instance of a kind of its own: see package instance. Keeper tells each that is in
// a partition of this node which definition is the latest, again and again until it knows: after a deployment, a retirement, and whenever
// the partition comes here.
//
// A schedule submits the order of a firing until that is accepted, or another order has its id. It listens in correlation slots, as orders
// do. An order that it has to know the end of is accepted as its child, and tells it.
//
// What it is not: it does not decide what is due, which is the machine's affair.
package scheduler
