// Package pebble is the embedded journal: a single process's store in a local directory, on an LSM tree.
//
// # What is stored
//
// Every key begins with a letter that says what it is; keys.go lists them. The hot commit writes one key, the record;
// the rows that find orders are written at acceptance and when the status changes. Handles rise with time, so keys of
// each kind are appended, and tables of one kind seldom have to be merged.
//
// # How a commit becomes durable
//
//	Commit ──► queue ──► committer: check each, one batch ──► log, fsync ──► Done of each
//	             ▲                                              │
//	             └── fills while the last batch syncs ◄─────────┘
//
// Releases and checks of partitions go the same way: a release writes one key, a check none.
//
// One goroutine does it. It takes whatever is queued, at most Config.BatchBytes, and never waits for more. A commit that
// fails its check is left out of the batch and is answered with the others, once whatever it was checked against is
// durable. Reads wait likewise: what a read returns is durable.
//
// The queue is bounded. Beyond the bound a commit is answered persistence.ErrBusy; acceptances are from half of it on,
// so that running orders keep a share; those of orders that are not interactive are from three quarters of that half
// on. Below the low-water mark of free disk space, acceptances are answered persistence.ErrFull. The space is asked for
// by the clock, and whenever a share of the mark was written.
//
// What a commit replaces is known without reading: of orders that were committed lately their last versions are kept, and where
// the indexes have them. Positions in queues are counted in memory; how far, the store notes ahead, for thousands at a time, so
// that none is given twice.
//
// # Who owns partitions
//
// One process has the directory at a time, so whoever had it open before is gone, and counts as fenced: Open makes a new
// incarnation, which may claim everything. Nothing is written until it does.
//
// # States of the directory
//
// The file HOLDFAST says which format the directory has, and its state:
//
//	creating ──► open ◄──► sealed         copy ──► open
//	               └───────────┴──► moved
//
// It is sealed by Close, after everything was moved from the log into tables, with a checksum of the manifest. A
// directory found open was left by a process that was killed: its logs are replayed. One found creating was left before
// anything was promised, and is made anew.
//
// A copy is what Backup makes of an open journal: links to its tables, and its logs, cut where they were durable. Nobody can open it;
// Restore makes an open journal of its own of it, with a new generation. A journal is moved once all that OpenSource has read of it is
// elsewhere: nobody can open it any more.
//
// # How it fails
//
// An error of the disk on the way to durability is never retried, as disk.go says: Config.Fatal is called, which ends the
// process. Should it return, the commits of the batch are answered persistence.ErrUnknown; those behind it
// persistence.ErrClosed, for they were not begun. A table that can't be written, for want of room, is tried again after
// Config.FreeInterval; commits go on meanwhile, as long as the log has room. Close then leaves the directory open.
// A panic of the committer ends the process too, and leaves the commits that it had unanswered.
//
// Every block of every table bears a checksum, so a read of a damaged one fails with persistence.ErrCorrupt, which names
// the file. Open examines the logs and the manifest, as damage.go says: damage to what was durable is an error, never a
// torn tail. The file HOLDFAST notes how far they are durable, at the latest Config.NoteAfter after a write; before that, an
// end that is missing can't be told from a crash in the middle of writing it.
//
// A read that fails, and finds no damage, is answered persistence.ErrUnavailable, and may be tried again. So is what the journal
// reads for a note: until it can, the last note stays.
//
// # What it is not
//
// It does not copy data elsewhere by itself: a lost disk loses its orders, and a backup beside it. One process has the directory at a time.
package pebble
