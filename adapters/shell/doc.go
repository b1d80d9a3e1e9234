// Package shell is the adapter that runs the processes of "run: shell", "run: script" and "run: container". It offers two activities for
// each: command, script and container for what can be run again, and commandOnce, scriptOnce and containerOnce for what can't.
//
//	task ──► open secrets ──► a folder of its own ──► start, in a group of its own ──► wait, bounded ──► kill what is left ──► output
//
// A process has the user that the adapter was given, an empty folder, the environment that its definition says and nothing of the
// adapter's own but what the settings name, and bounds of time, of memory for each process, and of output. Containers are run by the
// command of an engine, podman or docker, which bounds them.
//
// How it fails: a process that ends with an exit code other than 0 has failed, and counts as not done, unless the definition asks for the
// code. What could not be started was not done. One that a signal has ended, that has taken too long or said too much is in doubt. All
// that is left of its group is killed then; what has left the group stays. Where the adapter is killed, the process itself is, too, on
// Linux, but not what it has started.
//
// What it is not: a sandbox. What a definition runs may do whatever the user may on that host.
package shell
