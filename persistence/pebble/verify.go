package pebble

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Check says what Verify looks at.
type Check struct {
	// Dir is the directory of the journal; required.
	Dir string
	// MaxProblems is the most problems to report in full; default 1,000. All are counted.
	MaxProblems int
	// Definition is called with each definition, before any order; an error is a problem. Default: nothing.
	Definition func(*journalv1.DefinitionRow) error
	// Fold is called with each order whose history is whole, in the order of acceptance; an error is a problem of the
	// order. It must not keep what it is given. Default: nothing.
	Fold func(Order) error
	// Audit is called with each entry of the audit, by chain and sequence. It must not keep what it is given. Default: nothing.
	Audit func(persistence.AuditEntry)
	// FS is the file system; default: the operating system's.
	FS vfs.FS
}

// Order is all that a journal has of one order.
type Order struct {
	Handle messages.Handle
	Row    *journalv1.OrderRow
	// Open is nil if the order has ended.
	Open    *journalv1.OpenRow
	Records []*journalv1.Record
}

// Report is what Verify found.
type Report struct {
	// Journal is the identity of the journal, which its copies have, too; empty if no version has opened it yet that gives one.
	Journal string `json:"journal,omitempty"`
	// Generation is that of the epochs, FeatureLevel the highest that records may have.
	Generation   messages.Generation `json:"generation"`
	FeatureLevel uint32              `json:"feature_level"`

	Orders      int64 `json:"orders"`
	Open        int64 `json:"open"`
	Records     int64 `json:"records"`
	Events      int64 `json:"events"`
	Definitions int64 `json:"definitions"`
	// AuditEntries counts the entries of the audit.
	AuditEntries int64 `json:"audit_entries"`
	// Tables counts the files of the store whose checksums were read, Bytes their sizes.
	Tables int64 `json:"tables"`
	Bytes  int64 `json:"bytes"`
	// Unreadable tells that nothing could be read, so that the counts say nothing.
	Unreadable bool `json:"unreadable"`
	// Digest is a checksum of all keys and values: journals that have the same hold the same.
	Digest string `json:"digest"`
	// ProblemCount counts all problems. Problems are the first of them.
	ProblemCount int64     `json:"problem_count"`
	Problems     []Problem `json:"problems"`
}

// Problem is one thing that is not as it should be. What is known of its place is given.
type Problem struct {
	// File is a file in the directory, Order the handle of an order, Key a key of the store in hexadecimal.
	File  string `json:"file,omitempty"`
	Order string `json:"order,omitempty"`
	Key   string `json:"key,omitempty"`
	What  string `json:"what"`
}

// Verify reads a whole journal that no process has open, and changes nothing in it: every block of every file, every
// record, and whether histories, rows and indexes agree. What is wrong with the journal is in the report. The error says
// why the journal could not be looked at, or that ctx ended.
func Verify(ctx context.Context, c Check) (Report, error) {
	v, err := newVerifier(ctx, c)
	if err != nil {
		return Report{Problems: []Problem{}}, err
	}
	lock, err := lockDir(v.FS, v.Dir)
	if err != nil {
		return v.report, err
	}
	err = v.run(lock) //nolint:contextcheck // a default that ends the process, which is not used here
	return v.report, errors.Join(err, v.close(), lock.Close())
}

// newVerifier makes sure that there is a journal to be looked at.
func newVerifier(ctx context.Context, c Check) (*verifier, error) {
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.MaxProblems == 0 {
		c.MaxProblems = 1000
	}
	if c.Dir == "" || c.MaxProblems < 0 {
		return nil, fmt.Errorf("verify a journal: Dir is %q and MaxProblems is %d: give a directory and a positive number", c.Dir, c.MaxProblems)
	}
	if _, err := c.FS.Stat(c.FS.PathJoin(c.Dir, sealName)); err != nil {
		return nil, fmt.Errorf("%s is not a Holdfast journal: %w", c.Dir, err)
	}
	return &verifier{Check: c, ctx: ctx, report: Report{Problems: []Problem{}}}, nil
}

// close closes the store, if it could be opened.
func (v *verifier) close() error {
	if v.db == nil {
		return nil
	}
	return engineError("close the store", v.db.Close())
}

// verifier is one run of Verify.
type verifier struct {
	Check

	ctx    context.Context //nolint:containedctx // lives as long as the call
	db     *pebble.DB
	seal   seal
	report Report
	// expected counts the keys of each kind that the rows call for.
	expected [256]int64
	// unreadable counts rows and keys of indexes that could not be read.
	unreadable int
}

// maxUnreadable is how many rows and keys of indexes may be unreadable before no more are looked for: the engine takes up
// to seconds for each, because it looks for the bit that was flipped.
const maxUnreadable = 20

func (v *verifier) problem(p Problem) {
	v.report.ProblemCount++
	if len(v.report.Problems) < v.MaxProblems {
		v.report.Problems = append(v.report.Problems, p)
	}
}

// fault is a problem that an error tells, and perhaps the file.
func (v *verifier) fault(doing string, err error) {
	p := Problem{What: doing + told(err)}
	if d := damageIn(err); d != nil {
		p.File = d.file
	}
	v.problem(p)
}

// damageIn returns the damage that an error tells of; nil if it tells no place.
func damageIn(err error) *damage {
	if d, ok := errors.AsType[*damage](err); ok {
		return d
	}
	if d := damagedFile(err); d != nil {
		return d
	}
	return damagedBlock(err)
}

// told is what an error tells of the journal: the place of the damage, if there is one.
func told(err error) string {
	if d := damageIn(err); d != nil {
		return d.place()
	}
	return engineText(err)
}

// lost counts what could not be read.
func (v *verifier) lost() {
	v.unreadable++
	if v.unreadable == maxUnreadable {
		v.problem(Problem{What: "too much can't be read: further rows and indexes are not looked at"})
	}
}

func (v *verifier) orderProblemf(h messages.Handle, format string, args ...any) {
	v.problem(Problem{Order: h.String(), What: fmt.Sprintf(format, args...)})
}

func (v *verifier) keyProblemf(key []byte, format string, args ...any) {
	v.problem(Problem{Key: hex.EncodeToString(key), What: fmt.Sprintf(format, args...)})
}

func (v *verifier) run(lock *pebble.Lock) (err error) {
	now, err := readSeal(v.FS, v.Dir)
	v.seal = now
	switch {
	case errors.Is(err, persistence.ErrCorrupt):
		v.fault("", err)
	case err != nil:
		return err
	case now.state == stateCreating:
		return fmt.Errorf("journal in %s was never finished being made: open it once", v.Dir)
	default:
		if err := now.checkFiles(v.FS, v.Dir); err != nil {
			v.fault("", err)
		}
	}
	cfg, err := Config{Dir: v.Dir, FS: v.FS}.withDefaults()
	if err != nil {
		return err
	}
	// What the engine logs comes back as errors.
	o := engineOptions(cfg, engineLogger{Logger: slog.New(slog.DiscardHandler), dir: v.Dir, fail: func(err error) {
		v.fault("", err)
	}}, func() {})
	o.Lock, o.ReadOnly, o.ErrorIfNotExists = lock, true, true
	db, err := pebble.Open(v.Dir, o)
	if err != nil {
		v.report.Unreadable = true
		if v.report.ProblemCount == 0 { // else it is known why
			v.fault("the store can't be opened: ", err)
		}
		return nil
	}
	v.db = db
	if err := v.checkTables(o); err != nil {
		return err
	}
	if err := v.db.CheckLevels(nil); err != nil {
		v.fault("the levels of the store: ", err)
	}
	if err := v.digest(); err != nil {
		return err
	}
	return v.walk()
}

// digest makes the checksum of all that is stored.
func (v *verifier) digest() error {
	sum, length := xxhash.New(), make([]byte, 0, 2*binary.MaxVarintLen64)
	err := v.each(nil, nil, func(key, value []byte) {
		length = binary.AppendUvarint(binary.AppendUvarint(length[:0], uint64(len(key))), uint64(len(value)))
		for _, b := range [][]byte{length, key, value} {
			_, _ = sum.Write(b) // It never fails.
		}
	})
	v.report.Digest = fmt.Sprintf("%016x", sum.Sum64())
	return err
}

// checkTables reads every block of every table.
func (v *verifier) checkTables(o *pebble.Options) error {
	levels, err := v.db.SSTables()
	if err != nil {
		return engineError("list the tables", err)
	}
	o.EnsureDefaults()
	for _, level := range levels {
		for _, table := range level {
			if v.ctx.Err() != nil {
				return context.Cause(v.ctx)
			}
			v.report.Tables++
			v.report.Bytes += int64(table.Size) //nolint:gosec // the size of a file
			name := fmt.Sprintf("%06d.sst", table.FileNum)
			if err := v.checkTable(v.FS.PathJoin(v.Dir, name), o.MakeReaderOptions()); err != nil {
				v.fault("", damagedTable(name, int64(table.Size), err)) //nolint:gosec // the size of a file
			}
		}
	}
	return nil
}

func (v *verifier) checkTable(name string, o sstable.ReaderOptions) error {
	file, err := v.FS.Open(name)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return errors.Join(fmt.Errorf("open: %w", err), file.Close())
	}
	reader, err := sstable.NewReader(v.ctx, readable, o)
	if err != nil {
		return fmt.Errorf("open: %w", err) // It has closed the file.
	}
	return errors.Join(reader.ValidateBlockChecksums(), reader.Close())
}

// each visits the keys between lower and upper. An error of the store is a problem; an error of ctx is returned.
func (v *verifier) each(lower, upper []byte, visit func(key, value []byte)) error {
	it, err := v.db.NewIterWithContext(v.ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return engineError("iterate", err)
	}
	for valid := it.First(); valid; valid = it.Next() {
		if v.ctx.Err() != nil {
			break
		}
		value, err := it.ValueAndErr()
		if err != nil {
			break // Close returns it, too.
		}
		visit(it.Key(), value)
	}
	if err := it.Close(); err != nil {
		v.keyProblemf(lower, "can't read on from here or behind: %s", told(err))
	}
	return context.Cause(v.ctx)
}

// has tells whether a key is there.
func (v *verifier) has(key []byte) bool {
	_, closer, err := v.db.Get(key)
	if err != nil {
		if !errors.Is(err, pebble.ErrNotFound) {
			v.lost()
			v.keyProblemf(key, "can't be read: %s", told(err))
		}
		return false
	}
	_ = closer.Close() // Only read.
	return true
}
