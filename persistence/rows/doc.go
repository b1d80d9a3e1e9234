// Package rows says what the rows beside the histories of a journal mean: which rows follow from what an order is, which
// go together, which places in the indexes follow from them, what a commit may look like, and what a record holds. Every
// backend, its verification, and who makes commits use it, so that they can't differ.
//
// An order has a row from its acceptance on, and an open row as long as there is something that recovery must know of it:
//
//	not ended ──────────────────────► open row
//	faulted, and holds its key ─────► open row, held
//	ended, and its parent must know ► open row, telling
//	otherwise ──────────────────────► none
//
// It is pure: it stores nothing. How rows and places are encoded is the backends' business. What is wrong with a row or a
// commit is told as an error for people; nothing here panics.
package rows
