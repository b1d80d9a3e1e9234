// Package cluster says which node owns which partition, and finds orders. It plugs into protoactor's cluster with a
// ClusterProvider and an IdentityLookup of its own.
//
// What is here serves a single node: a cluster of one member, without a network. Every message to an order resolves
// through the IdentityLookup all the same: an order is cluster kind "order", and its identity is its partition and id.
package cluster
