//go:build !cgo

package main

// cacheIsApart: see the other file of this constant. Without cgo the cache is on the heap.
const cacheIsApart = false
