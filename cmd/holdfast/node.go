package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-run/holdfast/messages"
)

// newNode makes the command that runs an engine process.
func newNode(a *app) *cobra.Command {
	c := nodeConfig{}
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run a node: accept orders and run them",
		Long: "Runs a node in the foreground until it gets SIGTERM or SIGINT. Its journal lies in the data directory, which one\n" +
			"process may use at a time. A node may be killed at any time: the next one takes up where it was.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.limit, c.limitUnknown = memoryLimit()
			if err := c.validate(cmd.Flags()); err != nil {
				return usageError{err}
			}
			return a.logging(func(log *slog.Logger) error {
				if err := runNode(cmd.Context(), c, log); err != nil {
					return fmt.Errorf("node: %w", err)
				}
				return nil
			})
		},
	}
	a.addGroups(cmd, nodeFlags(&c))
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	setting(cmd.Flags(), names...)
	return cmd
}

// nodeFlags are the settings of a node by their purpose, those that are needed most first. One that is 0 stands for its
// default, which the text tells.
func nodeFlags(c *nodeConfig) []flagGroup {
	var groups []flagGroup
	for _, g := range []struct {
		title string
		add   func(*pflag.FlagSet, *nodeConfig)
	}{
		{"Where it works", placeFlags},
		{"TLS of the API and of the administration; off on loopback addresses only", tlsFlags},
		{"What clients may submit", submissionFlags},
		{"Connections, and what is sent to clients", connectionFlags},
		{"Adapters, and tasks that wait for them", adapterFlags},
		{"Bounds of single orders", orderFlags},
		{"Memory", memoryFlags},
		{"Disk", diskFlags},
		{"A journal in PostgreSQL, in place of the data directory", sharedFlags},
		{"One of a cluster's nodes, by Consul; it needs a journal in PostgreSQL", clusterFlags},
		{"The audit", auditFlags},
		{"When something fails", failureFlags},
	} {
		flags := pflag.NewFlagSet(g.title, pflag.ContinueOnError)
		flags.SortFlags = false
		g.add(flags, c)
		groups = append(groups, flagGroup{g.title, flags})
	}
	return groups
}

func placeFlags(f *pflag.FlagSet, c *nodeConfig) {
	f.StringVar(&c.Data, "data", "data", "`directory` of the journal")
	f.StringVar(&c.Listen, "listen", "127.0.0.1:7460", "`address` of the API, for clients and adapters")
	f.StringVar(&c.Admin, "admin-listen", defaultAdmin, "`address` of the administration: /livez /readyz /metrics")
	f.StringVar(&c.Access, "access", "",
		"`file` that says who may call and what each caller may do; without it, whoever reaches an address may do everything there")
	f.BoolVar(&c.Profiles, "profiles", false, "serve profiles for developers at /debug/pprof of the administration")
	f.DurationVar(&c.DrainTimeout, "drain-timeout", 5*time.Second, "how long calls may take to end when the node stops")
}

func submissionFlags(f *pflag.FlagSet, c *nodeConfig) {
	g := &c.Gateway
	f.Float64Var(&g.ClientRate, "client-rate", 0, "most orders that a client may submit in a second (0: any number)")
	f.IntVar(&g.ClientBurst, "client-burst", 0, "most orders that a client may submit at once, with --client-rate (those of a second)")
	f.IntVar(&g.Clients, "max-clients", 0, "most clients that are told apart for --client-rate; more share the limit of one (10000)")
	f.IntVar(&g.Accepting, "accepting", 0,
		fmt.Sprintf("most orders that wait to become durable, a quarter of it only for priorities from %d on (32768)", messages.Interactive))
	sizeVar(f, &c.Committing, "committing",
		"memory for what waits to become durable, half for orders and half for results; beyond it, none are taken (4 % of --memory)")
	f.IntVar(&g.StreamWindow, "stream-window", 0, "most orders of one stream without their last answer (16384)")
	sizeVar(f, &g.MaxInput, "max-input", "longest input of an order (1MiB)")
	sizeVar(f, &g.MaxOutput, "max-output", "longest output of an activity (1MiB)")
	f.IntVar(&g.MaxDepth, "max-depth", 0, "deepest nesting of inputs and outputs (64)")
	f.IntVar(&g.MaxLabels, "max-labels", 0, "most labels of an order (16)")
	sizeVar(f, &g.MaxKey, "max-key", "longest order key (256 bytes)")
}

func connectionFlags(f *pflag.FlagSet, c *nodeConfig) {
	g := &c.Gateway
	f.IntVar(&g.Connections, "max-connections", 0,
		"most connections to the public address (48KiB each of 5 % of --memory, but 10000 at most, and no more than leaves file descriptors for "+
			"the journal and the administration)")
	f.IntVar(&g.AddressConnections, "max-address-connections", 0,
		"most connections to the public address from one address; 127.0.0.1 and ::1 may have all (a quarter of --max-connections)")
	f.IntVar(&g.AdminConnections, "max-admin-connections", 0, "most connections to the administration, half of them from one address (100)")
	f.IntVar(&g.Opening, "max-opening", 0,
		"most connections whose clients have not begun to speak; for a further one the oldest is closed (1000)")
	f.DurationVar(&g.ConnectionIdle, "connection-idle", 0, "how long a connection may have no call and no stream before it is closed (15m)")
	f.IntVar(&g.IdleFrames, "idle-frames", 0,
		"frames that carry nothing which a connection may send in a second; one that sends more is read slower, and then closed (1000)")
	f.IntVar(&g.Calls, "max-calls", 0,
		"most calls and streams at once, over all connections (20KiB each of 5 % of --memory, but 32768 at most)")
	f.IntVar(&g.AddressCalls, "max-address-calls", 0,
		"most calls and streams at once from one address; 127.0.0.1 and ::1 may have all (half of --max-calls)")
	f.DurationVar(&g.RequestWithin, "request-within", 0, "how long the request of a call may take to come (30s)")
	sizeVar(f, &g.ReceiveWindow, "receive-window", "what a stream may send before the node has read it (256KiB)")
	sizeVar(f, &g.Unread, "unread",
		"most bytes that were received and can't be read yet; beyond it, connections are closed that keep some unread for longest "+
			"(3 % of --memory)")
	f.IntVar(&g.Streams, "max-streams", 0,
		"most calls and streams of one connection at once; further ones wait in the client (a quarter of --max-calls, 1000 at most)")
	sizeVar(f, &g.Headers, "max-headers", "longest metadata of a call or stream (16KiB)")
	sizeVar(f, &c.Unsent, "unsent",
		"most bytes of answers that were read for clients and not sent to them yet; beyond it, reads wait (3 % of --memory)")
	f.DurationVar(&g.SlowReader, "slow-reader", 0,
		"how long a client may leave an answer unread while others wait for room; then its connection is closed (30s)")
}

func adapterFlags(f *pflag.FlagSet, c *nodeConfig) {
	e := &c.Engine
	f.DurationVar(&c.Gateway.Heartbeat, "heartbeat", 0,
		"how often an adapter shows that it lives; silent for three times as long, it counts as dead (5s)")
	f.DurationVar(&e.Grace, "adapter-grace", 0, "how long tasks wait for a lost adapter to come back (3s)")
	f.DurationVar(&e.LedgerGrace, "ledger-grace", 0, "the same for activities that are not idempotent (1m)")
	f.DurationVar(&e.RecoverGrace, "recover-grace", 0,
		"the same if, of these, adapters can find out what came of work begun elsewhere, and the adapter closed its stream (5s)")
	f.IntVar(&e.Deaths, "deaths", 0,
		"how many adapter processes may die while they execute a task, and nothing else, before it is set apart (3)")
	sizeVar(f, &e.QueueBytes, "queue",
		"memory for the tasks that wait for adapters, a sixteenth of it for one activity and priority; more wait on disk (4 % of --memory)")
	sizeVar(f, &e.AdapterBytes, "adapter-memory",
		"memory for the tasks that adapters have, and for what they offer and list; one stream may have a quarter (8 % of --memory)")
	f.IntVar(&e.Activities, "max-activities", 0, "most activities that are known at once; adapters that offer more are refused (10000)")
	f.IntVar(&c.Gateway.Offers, "max-offers", 0, "most activities that one adapter may offer (1000)")
	f.DurationVar(&e.ForgetAfter, "forget-after", 0, "how long an activity is remembered that nothing uses (10m)")
	f.DurationVar(&e.AgeAfter, "age-after", 0,
		"how long a task waits for an adapter before it gets a share of what is sent, whatever its priority (5m)")
	f.DurationVar(&e.Workflow.StopGrace, "stop-grace", 0, "how long a cancelled order waits for an activity under way (30s)")
}

func orderFlags(f *pflag.FlagSet, c *nodeConfig) {
	w := &c.Engine.Workflow
	f.Uint64Var((*uint64)(&w.Events), "max-events", 0, "longest history of an order, in events; a longer one faults it (1000000)")
	f.IntVar(&w.Depth, "max-nesting", 0, "most orders above a child order (16)")
	f.IntVar(&w.Deeds, "max-deeds", 0, "most activities of one order that could be undone; one more faults it (10000)")
	f.DurationVar(&w.RetryPause, "retry-pause", 0, "least time from an error to the retry (100ms)")
	f.IntVar(&w.Loops, "loops", 0,
		"how often an order may retry, jump back or have work given back without waiting, before it is slowed down (10000)")
	f.DurationVar(&w.LoopPause, "loop-pause", 0, "how long an order that is slowed down waits each time (1s)")
	f.IntVar(&w.Steps, "steps", 0, "most tasks entered in one commit (200)")
	sizeVar(f, &w.Bytes, "commit-bytes", "about how much one order puts into one commit (1MiB)")
	f.DurationVar(&c.Engine.EventKeep, "keep-events", 0, "how long an event is kept that nobody waits for, unless the event says so (1h)")
	f.DurationVar(&c.Engine.Slots.Remember, "remember-events", 0, "how long it is known that an event was published (1h)")
	f.IntVar(&c.Engine.Slots.Events, "slot-events", 0, "most events of one type and correlation that are held (100000)")
	sizeVar(f, &c.Engine.Slots.Bytes, "slot-memory", "most that these events may take (16MiB)")
	f.IntVar(&c.Engine.Slots.Listeners, "slot-listeners", 0, "most listeners for events of one type and correlation (100000)")
	f.IntVar(&c.Engine.Slots.Queued, "slot-queued", 0, "most events of one type and correlation under way to listeners (200000)")
	f.IntVar(&c.Engine.Slots.Seen, "slot-seen", 0, "most events of one type and correlation that are known by source and id (100000)")
	f.DurationVar(&c.Engine.Schedules.Grace, "schedule-grace", 0, "how late a scheduled order may be, and its due time not be missed (1m)")
	f.IntVar(&c.Engine.Schedules.Firings, "schedule-firings", 0, "most orders of one schedule that wait to be submitted (1000)")
	f.IntVar(&c.Engine.Schedules.Collections, "schedule-collections", 0, "most orders of one schedule for which events are collected (1000)")
	sizeVar(f, &c.Engine.Schedules.Bytes, "schedule-memory", "most that these events may take (16MiB)")
	f.IntVar(&c.Engine.Schedules.Seen, "schedule-seen", 0, "most events of one schedule that are known by source and id (1000)")
	sizeVar(f, &w.Consumed, "consumed", "most that the events may have which a task consumes (16MiB)")
	f.IntVar(&w.Behind, "behind", 0, "most events that a task takes before it has gone through them (1000)")
	f.IntVar(&c.Engine.Mailbox, "mailbox", 0, "most messages that wait for one order (1000)")
}

func memoryFlags(f *pflag.FlagSet, c *nodeConfig) {
	e := &c.Engine
	sizeVar(f, &c.Memory, "memory",
		"memory of the process, of which all else has shares; at least 256MiB (80 % of what the cgroup allows; 1GiB where none does)")
	sizeVar(f, &e.ResidentBytes, "resident",
		"memory for orders, about; beyond it those that had nothing to do for longest leave it (13 % of --memory)")
	sizeVar(f, &e.EvaluationBytes, "evaluating",
		"memory for expressions that make much, and for what they have made until it is durable; beyond it their orders wait (10 % of --memory)")
	f.Float64Var(&e.HeavyShare, "heavy-share", 0,
		"part of the processors' time that heavy work gets while other work waits for a processor, up to 1 (0.02)")
	f.IntVar(&e.Evaluations, "evaluations", 0,
		"how many orders at once evaluate much, and how many large requests are checked at once (as many as there are processors, but one)")
	sizeVar(f, &e.Definitions, "definitions",
		"memory for compiled definitions, about; those not asked for lately leave it, and are compiled again when they are (4 % of --memory)")
	f.IntVar(&e.MaxDefinitions, "max-definitions", 0,
		"how many definitions may be deployed, of 256KiB each on average; further ones are refused (10000)")
	f.DurationVar(&e.Idle, "idle", 0, "how long an order stays in memory with nothing to do (30s)")
	f.DurationVar(&e.LongWait, "long-wait", 0, "shortest wait for which an order leaves memory at once (5s)")
	f.IntVar(&e.Waking, "waking", 0,
		"most orders of one partition that are woken at once after a start, and most that are woken because they are due (16)")
	f.IntVar(&e.Dues, "dues", 0,
		"how many due times of one partition are held in memory, about: those that come next; the others stay on disk (2048)")
	f.IntVar(&e.PartitionMailbox, "partition-mailbox", 0,
		fmt.Sprintf("most messages that wait for one of the %d partitions (20000)", messages.Partitions))
}

func diskFlags(f *pflag.FlagSet, c *nodeConfig) {
	j := &c.Journal
	f.Var(sizeValue[int64]{size: &j.LowWaterBytes, none: true}, "low-water",
		"free disk space below which no orders are accepted; -1: none (1GiB)")
	sizeVar(f, &j.MemTableBytes, "memtable",
		"size of the journal's table in memory, of which there may be three (a third of --cache, 64MiB at most)")
	sizeVar(f, &j.CacheBytes, "cache", "size of the journal's cache; the tables in memory count to it (19 % of --memory)")
}

func sharedFlags(f *pflag.FlagSet, c *nodeConfig) {
	j := &c.Shared
	f.StringArrayVar(&j.Shards, "journal", nil,
		"`connection string` of the database that has the journal; several times for the shards of one, in their order")
	f.StringVar(&j.Schema, "journal-schema", "", "schema of the database that has the journal (holdfast)")
	f.IntVar(&j.Lanes, "journal-lanes", 0, "connections to each shard that commit (1)")
	f.IntVar(&j.Readers, "journal-readers", 0, "most connections to each shard that read (4)")
	f.DurationVar(&j.AnswerWithin, "journal-answer", 0,
		"how long the database may take to answer; then the connection is given up, and the node makes another (2s)")
}

func failureFlags(f *pflag.FlagSet, c *nodeConfig) {
	e := &c.Engine
	f.DurationVar(&e.TryAgain, "try-again", 0, "how long to wait before something that failed, such as a commit, is tried again (1s)")
	f.DurationVar(&e.AcceptAfter, "accept-after", 0,
		"how long the node that owns an order's partition may take to accept it before this one does (1s)")
	f.Float64Var(&e.AcceptRate, "accept-rate", 0,
		"most orders that this node accepts in a second for partitions that it does not own; more wait for their owners (500)")
	f.IntVar(&e.AcceptBurst, "accept-burst", 0, "most orders that it accepts so at once (500)")
	f.IntVar(&e.Poison, "poison", 0, "how many times in a row an order may panic before it is faulted (3)")
	f.IntVar(&e.PoisonFaults, "poison-faults", 0,
		"most orders of one partition that are faulted for panics within a minute; beyond it, the partition is restarted (5)")
	f.DurationVar(&e.StuckAfter, "stuck-after", 0, "how long one turn of a loop may take before the node counts as stuck (8s)")
	f.IntVar(&e.LogRate, "log-rate", 0, "most lines a second that are logged about orders; -1: any number (200)")
}
