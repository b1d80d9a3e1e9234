// Package persistence says what a journal is: the durable, append-only history of every order, and the rows that find
// orders in it. It is the only truth about orders. Backends live in subfolders, and each passes journaltest.
//
// What a journal promises:
//
//   - A commit is all or nothing, and durable when it is confirmed.
//   - Versions of an order are gapless: a commit says which version it follows, and fails with ErrConflict if that is
//     not the last.
//   - A commit bears the epoch of its partition, and fails with ErrFenced if the partition has a newer one.
//   - Commits of one batch fail alone.
//   - Nothing cancels a commit under way. A commit that fails with ErrUnknown may have happened: append the same again,
//     and ErrConflict then means that somebody, perhaps you, was first.
//   - What was confirmed is seen by every later read.
package persistence
