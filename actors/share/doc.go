// Package share divides the limit of an activity among the nodes of a cluster. It is pure: a Granter says who has which share, and a
// Holder, at each node, asks for one, and says what that is used for. There is one Granter for each activity that has a limit, at the
// owner of the partition that the activity's name gives; whoever owns it next begins with nothing known.
//
// A limit has seats: one for each task at a time; and of a rate as many as there may be tasks at once, each of which gives its part of
// the rate. A share is a number of either. It expires: its holder counts from when it asked, the granter from when it answered, so that
// the holder is the first to take it for over.
//
//	holder:  none ──── granted ────► held ── expired, before the granter takes it for over ──► none
//	           ▲                      │
//	           └── lowered, and said ─┘
//
// What is out. A seat of a rate is free when its holder says that it has it no more, or when the share has certainly expired. A task
// that was sent goes on after that: of tasks at a time there is out what the holder may have by its share, or what it says is under way,
// whichever is more; and that stays so, however silent the holder is, until all is counted anew.
//
// Counting anew is a round. Each holder says of which partitions it has counted all attempts under way, those included that another node
// had begun, as the adapters tell. A round is over when, since it began, each partition was counted by somebody. Then
//
//   - a holder that said nothing, and whose share had certainly expired before the round, has nothing under way any more that is not
//     counted elsewhere: its node is gone, and others have its partitions;
//   - what a holder had under way in partitions that it has lost is counted elsewhere; it counts it itself until it is told that;
//   - a new granter knows all that is under way, if the round began after all shares of the granter before it have expired. Until then it
//     lets everybody go on with what they hold, and gives nobody more.
//
// A round that lasts too long, because nobody can own some partition, is taken to be over after Patience: a database that is away does not
// stop the activity everywhere.
//
// Who gets what: first those who have something under way or waiting, evenly, and in turn where there are fewer seats than nodes; what is
// left stays where it is until somebody needs it. Nothing is taken back from a task that was sent: the share is lowered, and the seat is
// free when the task has ended.
//
// How it fails. Reports and grants may be lost, late or doubled: then shares expire, and less is used. If nobody grants, nothing more is
// sent. Clocks need not agree; they must run alike within a twentieth.
//
// What it is not: it does not send tasks, and does not know them. It does not know members: who is gone is learnt from the partitions.
package share
