// Package bench is the adapter that benchmarks call: activities that do nothing but take their time.
//
//	bench.echo    returns its input
//	bench.sleep   sleeps {"ms": n}, then returns its input
//
// It has no states: both are idempotent, and remember nothing. How it fails: bench.sleep refuses input without a number of
// milliseconds from 0 to an hour, permanently. What it is not: a model of a downstream system; it doesn't even deduplicate.
package bench
