// Package cluster says which node owns which partition, and finds orders. It plugs into protoactor's cluster with a
// ClusterProvider and an IdentityLookup of its own.
//
// What is here serves a single node: a cluster of one member, without a network. Every message to an order resolves
// through the IdentityLookup all the same: an order is cluster kind "order", and its identity is its partition and id.
//
// How it fails: it doesn't. Before the start and after the end nobody owns anything, and an order is nowhere.
//
// What it is not: it moves no partitions, and does not make sure that there is one owner. That is the journal's check.
package cluster
