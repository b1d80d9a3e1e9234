// Package persistence says what a journal is: the durable, append-only history of every order, and the rows that find
// orders in it. It is the only truth about orders. Backends live in subfolders, and each passes journaltest.
//
// What a journal promises:
//
//   - A commit is all or nothing, and durable when it is confirmed.
//   - Versions of an order are gapless: a commit says which version it follows, and fails with ErrConflict if that is
//     not the last.
//   - A commit bears the epoch under which its partition is owned, and fails with ErrFenced if this opening of the journal does
//     not own it under that epoch. Each opening is an incarnation of a node; another may fence it, and then claim what it owned.
//   - To accept an order needs no epoch. What was accepted without one waits in the intake of its partition until the owner commits
//     more of it.
//   - The journal gives orders their positions in the queue of their key, in the order in which they joined it.
//   - Commits of one batch fail alone.
//   - Nothing cancels a commit under way. A commit that fails with ErrUnknown may have happened: append the same again,
//     and ErrConflict then means that somebody, perhaps you, was first.
//   - What was confirmed is seen by every later read.
//   - A journal may have several shards. One that does not answer holds up what lives in it alone.
//   - What can't be done now fails with ErrUnavailable, and may be tried again; what is damaged fails with ErrCorrupt, and stays so.
//
// What rows mean is said in persistence/rows, which every backend uses.
package persistence
