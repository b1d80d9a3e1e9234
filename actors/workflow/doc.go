// Package workflow runs orders: a deterministic state machine over compiled definitions. It has no I/O, clock, chance,
// goroutine or context; time and chance enter with each command, everything else is in the order's history.
//
//	Decide   (state, time, chance, command) → events    evaluates expressions; evolves the state by each event it makes
//	Evolve   (state, event) → state                     evaluates nothing
//	Effects  (state, events) → what to do outside       only reads; Outstanding is the same for a state just read back
//
// The caller's duties, in this order:
//
//  1. Decide one or more commands.
//  2. Commit all events that came of them, as one. If that fails, or may have failed, drop the state and fold the history
//     again: it may not even know of an event that nobody else knows of.
//  3. Do what Effects says about these events. Doing it twice does no harm; the attempt's key tells.
//  4. Command TimerFired when NextDue has come, and Continue when More was asked for.
//
// After a restart: fold the history, do what Outstanding says, go on at 4.
//
// An order is in one of these states:
//
//	        Accept              Start                    a wait, or a retry's delay, alone
//	(none) ───────► pending ─────────────► running ◄───────────────────────────────► waiting
//	                   │                      │
//	                   │ Cancel, Fault,       │ last task, end, uncaught error, Cancel, time over, Fault, Complete
//	                   │ Complete             ▼
//	                   └─────────────────► completed, faulted or cancelled; then only late results are noted
//
// One that has faulted keeps the tasks that it was in, and may be reopened: it goes on there, or is pending again if it no
// longer has the turn of its key. Or it may be cancelled or completed. While it is suspended nothing new begins, and no time
// strikes.
//
// A task that was entered is a frame:
//
//	        ┌───────────────────── the next task of its list, its result, its time ◄───────────────┐
//	        ▼                                                                                      │
//	entered ──► begins its own work ──► blocked: a task inside, an attempt, or a time ─────────────┤
//	        │                               │ time over, Cancel, Fault                             │ an error of a task
//	        │                               ▼                                                      │ inside: a try catches
//	        │                           stopping: attempts under way are awaited, until a bound    │ it, retries, or
//	        ▼                               ▼                                                      ▼ hands it on
//	    completed ◄───────────────────── left ───────────────────────────────────────────────► faulted
//
// An order may stand at several places at once: in the branches of a task that runs lists of tasks side by side, of which all are
// joined or the first wins, or one list for each of several items. A branch is a frame too, and so is the order itself:
//
//	                    begins them, so many at a time                    each has come to rest
//	entered ──────────────────────────────────────────────► blocked ────────────────────────────► completed, or faulted
//	                                                        │     ▲
//	one fails, wins or ends the workflow: leave the others  ▼     │ a branch completes, faults or is left
//	                                                       stopping
//
// Each frame can go on, or has one reason not to: a task inside, an attempt, a child, a time, or that it is being left. What a branch
// stands for lives in its frames: the error on its way up, with the frames that it ended; the activity it left last; how often it went
// back. A step in a branch changes the frames of the branch, and those around it, and never one beside it. So no branch holds up
// another; while several can go on, one goes on until it waits, or goes back in its tasks, and then others have their turn.
//
//   - The first error counts. It leaves the other branches, as a timeout leaves a task, and goes on up when all have come to rest. What
//     they stood at is kept, for an operator, with what comes to light as done meanwhile. A branch that wins, or has ended the
//     workflow, leaves the others, too: what they stood at is dropped, and what they did is a deed like any other.
//   - What begins to undo something in one branch is not interrupted by an error or a winner beside it, nor by a cancellation or a
//     timeout around it; all else that is to be left is left meanwhile. What can't be undone has the order fault, once the other
//     branches have come to rest. A cancellation that was asked for before is remembered then.
//   - A cancellation, a deadline or a timeout of the order or of a task leaves all branches inside at once.
//   - While the order is suspended, no branch begins anything and no time strikes; what is under way in any of them ends.
//   - An order is retried where it stands, in all branches: each goes on with its own innermost task, and one that had completed has
//     completed. A new input, what an operator knows of attempts in doubt or of something to be undone, and the task that is passed
//     over or gone on with, are about one branch: that whose error came up first, unless only another has the task. The others go on
//     as if they were retried. What is to be undone there and is in doubt is asked about again; if nobody knows, it waits for an
//     operator in its turn.
//   - Where several branches ask for one thing, the oldest is first, so that a history read again gives the same.
//
// A visit is known by its place: the task's reference, and its path, which has the index of each branch around it and, from the second
// on, the visit of the task that runs the branch. Outside of branches the path is empty. The key of an attempt has the place and, from
// the second on, the number of the visit. A task that runs branches is visited anew when it has completed: until then, the branches of
// one that failed keep their keys. What undoes a deed is where the deed was done. Keys are kept as they were journaled.
//
// An attempt is scheduled, perhaps sent to a ledger, and ends: succeeded, failed, not done (it is scheduled again), or in
// doubt. Entering a task again keeps the key of a visit that did not succeed, so that the adapter knows the work again;
// what is in doubt goes back to the ledger that had it, marked as maybe started. A visit that succeeded is never repeated:
// the next one has a key of its own; as has the next one after an operator has changed the input, or settled what came of
// the last. So an attempt that succeeds while it is awaited, after its timeout, completes its task: what is late is done, and
// must not be done again. One that was left in doubt is remembered, and its late result journaled.
//
// What an activity or a child has done, and the definition knows how to undo, is a deed. The order keeps its deeds in the order
// of the journal, whichever branches they are of. A try that has caught an error, or the order when it is cancelled with
// compensation, undoes them one at a time, the last first, by the tasks that the definition gives, with keys of their own:
//
//	stopped, or raised ──► undoing a deed ──► undone: the next one; or cancelled; or retried, or the catch tasks
//	                          │        ▲
//	        it fails, or the  ▼        │ an operator retries it, passes it over, or says that there is nothing to undo
//	        deed is in doubt: faulted ─┘
//
// Only an operator who faults or completes the order interrupts that; whatever else ends the frame waits until the deed is
// undone.
//
// A child is an order of its own. Its parent starts it, and asks again for it after each restart; the child tells its parent how
// it has ended until that is known. A child that has faulted waits for an operator, and its parent for it, unless a try around
// the task would do something about the error: then it is cancelled, and the error raised. What leaves a child has it cancelled
// and awaits that, however long it takes: so a parent has its key for as long as a child may run in its turn.
//
// How it fails: what is wrong with an expression, a schema or an input is an error of the task, which a try may catch. A
// command that does not fit is refused, or changes nothing if it is a repetition. A decision is cut short after Limits.Steps
// steps, Limits.Bytes bytes or, within its expressions, Limits.Evaluation steps, and an order that loops is faulted at
// Limits.Events events. Evolve panics on a history that was not made by this definition: a broken invariant, for the caller
// to contain.
//
// What it is not: it does not know how definitions are written (package definition compiles them), where events are kept,
// or who executes an activity.
package workflow
