// Package checker proves, from the outside, that orders were carried out once and wholly. It knows nothing of how
// Holdfast works: it reads only the logs of the downstream systems and the histories of the orders, as files of JSON
// Lines, and compares them.
//
// A line of a downstream's log is one request that the downstream decided:
//
//	{"at":"…","key":"…","order":"…","activity":"hss.createSubscriber","outcome":"applied"}
//
// outcome is applied (the system changed), repeated (the key was applied before; the first answer was given again) or
// refused (nothing changed). A line of the histories is one event as `holdfast order history -o json` prints it, with
// the order's id added as "order":
//
//	{"order":"…","version":7,"type":"attempt.scheduled","task":"/do/2/activate","attempt":1,"key":"…","activity":"…"}
//
// Lines of several orders may be mixed; those of one order stand in the order of their versions. Each violation found is
// of one of four kinds:
//
//	duplicated   a key was applied more than once
//	missing      an attempt succeeded by its history, but its key was never applied
//	unexplained  a key was applied that no history scheduled
//	history_gap  the versions of an order are not 1, 2, 3, …
//
// The last line of a log may be torn, when its writer was killed: it was never answered, so it is not counted. Any other
// line that can't be read is an error, never a violation: then nothing is proven either way.
//
// Memory is about 50 bytes for each key and each order, whatever their length. Keys are held as 128-bit hashes; to name
// a missing one, the histories are read a second time.
//
// What it is not: a judge of the workflow. That an order reached the end that its definition intends is for the test
// that submitted it; Report.Ended only counts.
package checker
