// Package cluster says which node owns which partition, and so where its orders are.
//
// What is here serves a single node: a cluster of one member, without a network. It has the node own every partition, and keeps the
// table of who serves them; every message to an order goes by that table.
//
// How it fails: it doesn't. Before the start and after the end nobody owns anything, and an order is nowhere.
//
// What it is not: it moves no partitions, and does not make sure that there is one owner. That is the journal's check.
package cluster
