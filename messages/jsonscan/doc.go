// Package jsonscan goes through JSON without decoding it. Whoever only wants to know where something stands in a value,
// or whether something is wrong with its form, needs no copy of it.
//
// A Scanner passes over the parts of a value, one by one. CheckNames finds objects that name a property twice: readers of
// JSON differ in which of the two counts, so such a value has no one meaning, and is refused wherever one enters. Check bounds
// how deep the value nests besides.
//
// How it fails: what it is given must be valid JSON. Anything else it passes over as far as it gets, in time in proportion
// to the length; it never panics.
//
// What it is not: a check that something is JSON, which is json.Valid's.
package jsonscan
