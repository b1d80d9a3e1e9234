package pebble

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// Config says where a journal is and what it may use. The zero value of a field means its default.
type Config struct {
	// Dir is the directory of the journal; required. It is made if it does not exist. Nothing else may be in it.
	Dir string
	// Node is the node that opens the journal: its incarnation's name begins with it; default "node". It must not have a slash.
	Node messages.NodeID
	// MemTableBytes is the size of the table in memory that collects writes; default 64 MiB, at least 1 MiB. Up to three
	// may exist. Larger ones make for less merging, and for a longer start after a crash.
	MemTableBytes int64
	// CacheBytes is the size of the cache of blocks read; default 192 MiB, at least 1 MiB. The tables in memory count to it:
	// blocks get what they leave.
	CacheBytes int64
	// LowWaterBytes is the free disk space below which acceptances are answered persistence.ErrFull; default 1 GiB,
	// negative: none. It must leave room for running orders and for merging.
	LowWaterBytes int64
	// FreeInterval is how often the free disk space is asked for, at least; default 1 s. A table that could not be written is
	// left alone as long before it is tried again.
	FreeInterval time.Duration
	// Free tells the free disk space in bytes; default: that of the file system of Dir.
	Free func() (uint64, error)
	// QueueCommits is the most commits that wait for the committer; default 65,536. Half of them may be acceptances,
	// and three quarters of that half acceptances of orders that are not interactive.
	QueueCommits int
	// QueueBytes is the most bytes that they may have; default 256 MiB.
	QueueBytes int64
	// BatchBytes is the most bytes that are made durable at once, the last commit excepted; default 4 MiB, at most an
	// eighth of MemTableBytes.
	BatchBytes int64
	// NoteAfter is how long after a write the file HOLDFAST notes at the latest how far the log is durable; default 200 ms.
	// Until then, an end of the log that is missing can't be told from a crash in the middle of writing it.
	NoteAfter time.Duration
	// CommitBytes is the size of the largest record; default 64 MiB, at most 1 GiB. A larger one fails.
	CommitBytes int64
	// Versions is the number of orders whose last version is kept in memory, and where the indexes have them; default
	// 262,144. Each takes about 50 bytes. Of an order not among them both are read from the store at its next commit.
	Versions int
	// MaxCompactions is the most goroutines that merge tables; default half the processors, at least 1.
	MaxCompactions int
	// MaxOpenFiles is the most files kept open; default 1,000, at least 100.
	MaxOpenFiles int
	// FS is the file system; default: the operating system's.
	FS vfs.FS
	// Observer is told of each batch; default: nobody.
	Observer persistence.Observer
	// Turn is called each time that the committer turns, and every second when it has nothing to do, to show that it is not
	// stuck; default: nothing. It must be fast.
	Turn func()
	// Fatal is called when the store can't go on, by each goroutine that would change it; it must end the process, and had
	// better not return: the engine panics at some errors. Default: log the reason and exit with 1.
	Fatal func(error)
	// Logger gets what an operator should know; default: slog's.
	Logger *slog.Logger
}

// withDefaults fills in what was left out and says everything that is wrong.
func (c Config) withDefaults() (Config, error) {
	c.MemTableBytes = cmp.Or(c.MemTableBytes, 64<<20)
	c.CacheBytes = cmp.Or(c.CacheBytes, 192<<20)
	c.LowWaterBytes = cmp.Or(c.LowWaterBytes, 1<<30)
	c.FreeInterval = cmp.Or(c.FreeInterval, time.Second)
	c.QueueCommits = cmp.Or(c.QueueCommits, 1<<16)
	c.QueueBytes = cmp.Or(c.QueueBytes, 256<<20)
	c.BatchBytes = cmp.Or(c.BatchBytes, min(4<<20, c.MemTableBytes/8))
	c.CommitBytes = cmp.Or(c.CommitBytes, 64<<20)
	c.NoteAfter = cmp.Or(c.NoteAfter, 200*time.Millisecond)
	c.Versions = cmp.Or(c.Versions, 1<<18)
	c.MaxCompactions = cmp.Or(c.MaxCompactions, max(1, runtime.GOMAXPROCS(0)/2))
	c.MaxOpenFiles = cmp.Or(c.MaxOpenFiles, 1000)
	if c.Node == "" {
		c.Node = "node"
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Turn == nil {
		c.Turn = func() {}
	}
	if c.Fatal == nil {
		logger := c.Logger
		c.Fatal = func(err error) {
			logger.LogAttrs(context.Background(), slog.LevelError, "journal failed", slog.Any("error", err))
			os.Exit(1)
		}
	}
	if c.Free == nil {
		fs, dir := c.FS, c.Dir
		c.Free = func() (uint64, error) {
			usage, err := fs.GetDiskUsage(dir)
			if err != nil {
				return 0, fmt.Errorf("ask for the free disk space of %s: %w", dir, err)
			}
			return usage.AvailBytes, nil
		}
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
	if c.Dir == "" {
		errs = append(errs, errors.New("journal: Dir is empty: give the directory of the journal"))
	}
	if strings.ContainsRune(string(c.Node), '/') {
		errs = append(errs, fmt.Errorf("journal: Node is %q: it must not have a slash", c.Node))
	}
	between := func(name string, value, least, most int64) {
		if value < least || value > most {
			errs = append(errs, fmt.Errorf("journal: %s is %d: it must be from %d to %d", name, value, least, most))
		}
	}
	between("MemTableBytes", c.MemTableBytes, 1<<20, 1<<30)
	between("CacheBytes", c.CacheBytes, 1<<20, 1<<40)
	between("FreeInterval", int64(c.FreeInterval), int64(time.Millisecond), int64(time.Hour))
	between("NoteAfter", int64(c.NoteAfter), int64(time.Microsecond), int64(time.Hour))
	between("QueueCommits", int64(c.QueueCommits), 2, 1<<24)
	between("QueueBytes", c.QueueBytes, 1<<16, 1<<40)
	between("BatchBytes", c.BatchBytes, 1, max(1, c.MemTableBytes/8))
	between("CommitBytes", c.CommitBytes, 1<<10, 1<<30)
	between("Versions", int64(c.Versions), 2, 1<<28)
	between("MaxCompactions", int64(c.MaxCompactions), 1, 1<<10)
	between("MaxOpenFiles", int64(c.MaxOpenFiles), 100, 1<<20)
	return errors.Join(errs...)
}
