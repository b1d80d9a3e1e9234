package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// Config says where a journal is and what it may use. The zero value of a field means its default.
type Config struct {
	// Shards are the connection strings of the journal's databases, as libpq takes them; at least one. Their order and number are
	// noted in them, and can't be changed. Several hosts in one string are those of one database, of which one is the primary.
	Shards []string
	// Schema is the schema of the databases that has the journal; default "holdfast". It is made if it does not exist.
	Schema string
	// Node is the node that opens the journal: its incarnation's name begins with it; default "node". It must not have a slash.
	Node messages.NodeID
	// Alone says that the node is in no cluster: it is the only one that has the journal open, or Open fails, with the reason, as it does for
	// nodes of a cluster while such a node has it. A lock in the first shard, which it holds until it is closed, makes sure of that; and
	// whoever had the journal before is fenced. Without the first shard it can't be opened. If another node gets the lock, when its session
	// was lost, nothing is claimed any more. Default: nodes of a cluster share the journal.
	Alone bool
	// Watermarks is what other incarnations have had confirmed: a server that shows less is not used. Default: nobody has told anything.
	Watermarks Watermarks
	// Lanes is the number of connections for each shard that commit; default 1. What is committed of one partition goes through one
	// of them. More lanes make smaller batches, which cost more: they are for servers whose processors one connection leaves idle.
	Lanes int
	// Readers is the most connections for each shard that read; default 4. With the lanes at most 7: one more is for acceptances without an
	// epoch.
	Readers int
	// AnswerWithin is how long an answer to a batch or read is waited for; default 2 s. Then the connection is closed, and the
	// outcome of the batch is unknown.
	AnswerWithin time.Duration
	// QueueCommits is the most commits that wait for a lane; default 65,536. Half of them may be acceptances, and three quarters of
	// that half acceptances of orders that are not interactive.
	QueueCommits int
	// QueueBytes is the most bytes that they may have; default 256 MiB.
	QueueBytes int64
	// BatchCommits is the most commits that are made in one statement; default 512.
	BatchCommits int
	// BatchBytes is the most bytes of their records, the last commit excepted; default 4 MiB.
	BatchBytes int64
	// CommitBytes is the size of the largest record; default 64 MiB, at most 512 MiB. A larger one fails.
	CommitBytes int64
	// Observer is told of each batch; default: nobody.
	Observer persistence.Observer
	// Loop is called once for each lane, when the journal is open, with its name. What it returns is called each time that the lane
	// turns, and every second when it has nothing to do, to show that it is not stuck; it must be fast. Default: nothing.
	Loop func(name string) (turn func())
	// Fenced is called when a connection is made by which this incarnation learns that it was fenced: it will never own anything again. It
	// may be called several times, and must not block. Default: nothing; whoever commits or claims next is told.
	Fenced func()
	// Logger gets what an operator should know; default: slog's.
	Logger *slog.Logger

	// source is the journal that is imported; nil: none is. importRows is the most rows that are written in one statement then.
	source     *persistence.Summary
	importRows int
}

// mostConnections is how many connections a node may have to a shard.
const mostConnections = 8

// withDefaults fills in what was left out and says everything that is wrong.
func (c Config) withDefaults() (Config, error) {
	c.Schema = cmp.Or(c.Schema, "holdfast")
	c.Node = cmp.Or(c.Node, "node")
	c.Lanes = cmp.Or(c.Lanes, 1)
	c.Readers = cmp.Or(c.Readers, 4)
	c.AnswerWithin = cmp.Or(c.AnswerWithin, 2*time.Second)
	c.QueueCommits = cmp.Or(c.QueueCommits, 1<<16)
	c.QueueBytes = cmp.Or(c.QueueBytes, 256<<20)
	c.BatchCommits = cmp.Or(c.BatchCommits, 512)
	c.BatchBytes = cmp.Or(c.BatchBytes, 4<<20)
	c.CommitBytes = cmp.Or(c.CommitBytes, 64<<20)
	c.importRows = cmp.Or(c.importRows, importRows)
	if c.Loop == nil {
		c.Loop = func(string) func() { return func() {} }
	}
	if c.Fenced == nil {
		c.Fenced = func() {}
	}
	if c.Watermarks == nil {
		c.Watermarks = none{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, c.validate()
}

// Validate reports every mistake.
func (c Config) Validate() error {
	_, err := c.withDefaults()
	return err
}

func (c Config) validate() error {
	var errs []error
	if len(c.Shards) == 0 || len(c.Shards) > messages.Partitions {
		errs = append(errs, fmt.Errorf("journal: Shards has %d databases: it must be from 1 to %d", len(c.Shards), messages.Partitions))
	}
	for i, s := range c.Shards {
		if _, err := pgx.ParseConfig(s); err != nil {
			errs = append(errs, fmt.Errorf("journal: connection string of shard %d: %w", i, err))
		}
	}
	if strings.ContainsRune(string(c.Node), '/') {
		errs = append(errs, fmt.Errorf("journal: Node is %q: it must not have a slash", c.Node))
	}
	between := func(name string, value, least, most int64) {
		if value < least || value > most {
			errs = append(errs, fmt.Errorf("journal: %s is %d: it must be from %d to %d", name, value, least, most))
		}
	}
	between("Lanes", int64(c.Lanes), 1, mostConnections-2)
	between("Readers", int64(c.Readers), 1, mostConnections-1-int64(min(max(c.Lanes, 1), mostConnections-2)))
	between("AnswerWithin", int64(c.AnswerWithin), int64(100*time.Millisecond), int64(time.Minute))
	between("QueueCommits", int64(c.QueueCommits), 2, 1<<24)
	between("QueueBytes", c.QueueBytes, 1<<16, 1<<40)
	between("BatchCommits", int64(c.BatchCommits), 1, 1<<16)
	between("BatchBytes", c.BatchBytes, 1, 64<<20)
	between("CommitBytes", c.CommitBytes, 1<<10, 512<<20)
	return errors.Join(errs...)
}
