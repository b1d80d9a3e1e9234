// Package disk keeps a ledger in a folder, so that what an adapter knows about work survives its process.
//
// The folder holds two files. LOCK is locked for as long as a process uses the folder: a second process is refused, for
// two with one memory could not both be right. ledger.log is a log of records, appended and never changed; it begins with the
// ledger's id, which is drawn once, when the folder is new. When most of the log is of no use any more, what the ledger knows
// is written to a new file, which then takes the place of the old one.
//
//	Open ──► open ──► Close
//	          │
//	          └─────► failed: the first error of the file system is returned by every Wait, and told to Failed
//
// One goroutine writes. Append never waits, and Wait does until what was appended is durable: records that come while the
// goroutine writes are written together, and cost one fsync. Where nobody has to wait, nothing is synced: a process
// that is killed loses nothing that it has written, only a machine that fails does.
//
// How it fails: a record that was cut off at the end is one that was being written, and nobody was told that it is durable: it
// is removed. Anything else that is not as it was written is damage, and the folder is refused, with file and offset. To
// start with an empty folder in its place is always safe: it is another ledger, so nodes ask about what the old one may have
// begun.
//
// What it is not: it doesn't understand the records. A folder that is copied, or restored from a backup, claims to remember
// what it doesn't: never do that.
package disk
