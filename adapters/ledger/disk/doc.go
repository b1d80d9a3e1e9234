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
// that is killed loses nothing that it has written, only a machine that fails does. So a process syncs what it finds before it
// counts on that. Behind what was synced comes a mark of 21 bytes, which says that all before it is durable. It is written
// without another fsync: if it is lost with the machine, what it stood for is not.
//
// How it fails: a machine that fails may have written any part of what was not synced, and not the rest of it, so a record
// that is not whole, and has no mark anywhere behind it, is one that nobody was told to be durable: it is removed, and all
// behind it. Anything else that is not as it was written is damage, and the folder is refused, with file and offset. Only damage to
// what was synced last, if the machine fails before it has written the mark, passes for such an end. To start with an empty
// folder in its place is always safe: it is another ledger, so nodes ask about what the old one may have begun.
//
// What it is not: it doesn't understand the records. A folder that is copied, or restored from a backup, claims to remember
// what it doesn't: never do that.
package disk
