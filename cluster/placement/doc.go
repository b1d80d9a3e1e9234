// Package placement says which node is to own which partitions. It is a function: from the members and the conditions of the journal to
// a table, without clock, memory, lock or I/O. Each node computes it for itself, and all get the same table from the same members.
//
// The steps of Assign:
//
//	members ──► eligible ──► scores ──────────► in the order of scores ──► bounds ──► table
//	            newest of    by name and        each partition to the      chains of  a rank for
//	            each name,   partition, by      first member that has      moves      each partition
//	            weight > 0   weight             room
//
// Who is eligible: the newest incarnation of each name, if its weight is above 0, it reads the journal's feature level, and it reaches
// the partition's shard.
//
// The score is weighted rendezvous hashing: −log₂ of a hash of name and partition, divided by the weight; the least comes first. The
// name is hashed and not the incarnation, so that a restart under the same name moves nothing. The logarithm is computed in whole
// numbers, since floating point may round otherwise on another architecture, and two nodes would disagree.
//
// The bounds: a member's share is, summed over the shards that it reaches, the shard's partitions × its weight ÷ the weight of all
// members that reach the shard. It gets at most share + 10 %, rounded down, and at least share − 10 %, rounded up; where no whole number
// lies between share and bound, the bound is the share rounded up, or down. Shares are computed to 2⁻⁴⁰ of a partition.
//
// The movement: a member that comes or goes moves what it gains or had, and a few partitions more between the others, because their
// bounds change: with up to 12 members never more than 48 of the 256 in TestMovement, and with equal weights, hardly ever more than 24; on
// average 1 with three members, and 10 with twelve. A bound that is kept without knowledge of the table before can't do without.
//
// The order of a partition's rank: first the desired owner; then all others that are eligible, by score. A desired owner that does not
// claim is followed by the next in rank: see Table.MayClaim.
//
// Cost: M members cost M × 256 hashes and the sorting of as many numbers, O(256·M·log(256·M)); chains are rare and short, and cost
// O(256·M) each. With 64 members it is a few milliseconds.
//
// How it fails: it doesn't. A partition for which nobody is eligible has an empty rank, and nobody is to own it.
//
// What it is not: it does not know who owns a partition now, who lives, or when to move; and nothing depends on all nodes having the
// same table at the same time. That there is one owner is the journal's check.
package placement
