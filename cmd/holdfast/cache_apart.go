//go:build cgo

package main

// cacheIsApart: what the journal's cache has is not of the Go runtime's heap.
const cacheIsApart = true
