// Package postgres is the journal of a cluster: one or more PostgreSQL databases that nodes share, its shards. A partition lives
// in one of them, with its orders, their histories and who owns it; the first has the catalogue, too.
//
//	Commit ──► lane of the partition ──► one statement for a batch ──► Done of each
//	                 │
//	                 ├── no answer in time ──► ErrUnknown; the connection is closed, never cancelled
//	                 └── no connection ──► ErrUnavailable, until one is made and the lane has bumped its batch number
//
// Fencing is of incarnations. Each has a row for each of its lanes, which every batch updates in the same statement that inserts.
// Whoever takes over fences these rows first, and so waits for what is under way. Of its own partitions an incarnation knows which
// it has: a lane refuses what comes under another epoch, and no batch locks a partition's row.
//
// A batch is made where the lane's row has the number before it. After an answer that did not come, a lane makes itself known with
// a higher number before anything is read or written: so the batch was made before, or never is. A database that has a lower
// number than was confirmed, to this incarnation or as others have told to them, has lost commits: it is refused. The numbers are
// watermarks. They are compared by each connection that is made, and once a second, as others may tell more. Of an incarnation that is
// gone they are covered: its rows are compared, and the own one bumped, in one statement, so that the own number stands for both.
//
// Acceptances without an epoch have a lane and a connection of their own, made when it is needed first: they may have to wait for another
// session that accepts the same order. They do so for a while, and are told then; the other lanes go on.
//
// The statement of a batch has the parts that the batch needs, and no others: an empty part costs the server as much as a full one does
// for a few orders. Each of these variants is prepared when a connection needs it first. The lane's row is found where the last batch
// has left it, and by its key only if it is not there: a snapshot that somebody keeps open keeps all that the key would lead through.
//
// Histories that are asked for at the same time are read together, as when thousands are loaded because partitions were taken over.
//
// A shard that is away, when the journal is opened or later, holds up what lives in it, and nothing else:
//
//	not used ──► looked at, prepared, the incarnation known there ──► used
//	    └── unfit: it has another journal, or none any more; the reason is logged, and it is tried again
//
// The time of a journal is that of its first shard's clock, as package persistence/clock has it: an opening reads it when it is opened,
// and every two seconds. Each other shard notes by how much its clock is ahead of the first one's, so that an opening which does not
// reach that learns the time elsewhere; or it can't be opened.
//
// A node in no cluster holds a lock in the first shard, and fences in each shard whoever was there before.
//
// An import makes a journal of another one, where there is none, and writes its rows as they are:
//
//	no journal ──► being imported: no node uses it ──► compared ──► the source is marked as moved ──► complete
//	                    └──► interrupted: the next import of the same goes on ──┘
//
// How it fails: an order's history, once confirmed, is as safe as the database's commits are. What the server refuses is told as
// that of the one commit which it refused. A server that does not answer is unavailable, never damaged.
//
// What it is not: a pool for others. Its connections and tables are its own, and nobody else may write there.
package postgres
