// Package journalv1 has the records of the journal, as Go types that are generated from their schema: the events of an
// order, the rows that indexes are made of, and what is kept beside orders.
//
// What it is not: the meaning of any of them, which persistence/rows and actors/workflow have.
package journalv1
