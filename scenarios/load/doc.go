// Package load measures a node: it starts one, and the adapter for benchmarks, as processes of their own, submits orders
// through the public API, and tells what came of them. It is what `holdfast bench` runs.
//
//	this process ──gRPC──► holdfast node ◄──gRPC── holdfast adapter bench
//	 the client              journal in a new folder on a real file system
//
// The workloads:
//
//	w3       three activities in a row in the adapter process, with a string of 100 bytes in and out
//	w0       no activity
//	accept   orders of one activity, measured until they are durable; they run behind that, and are awaited before the
//	         end
//	timers   orders that all wait at the same time, and end when their time has come
//
// A run:
//
//	start processes ─► deploy ─► one order as a trial ─► warm-up (1 s) ─► measuring ─► awaiting what is under way ─► stop
//
// A fixed number of orders is in flight: the end of one submits the next, so the node sets the pace. Only orders whose
// end (for accept: whose acceptance) the client saw while measuring are counted. An order that is refused, doesn't
// complete or returns something else than it should is an error.
//
// The client takes its CPU from the same machine, so it is made cheap: with streams a goroutine that receives and one
// that sends all that has collected meanwhile as one message, no goroutine or map entry per order, and latencies in a
// histogram of fixed size. At a cluster it is a Submitter of package client, which sends each order to the node that owns it.
//
// How it fails: when one of the processes ends, with the last lines of its log; when nothing is answered for half a
// minute; when too many orders fail. Whatever happens, the processes end with this one.
//
// What it is not: an open-loop load with a given rate of arrivals, a test over a network, or a comparison of products.
package load
