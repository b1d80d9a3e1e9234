package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Source is a whole journal of another kind, which nobody has open, and which does not change meanwhile.
type Source interface {
	// Summary tells of it.
	Summary() persistence.Summary
	// Orders yields all orders behind a handle, Records all records behind a place, in their order.
	Orders(ctx context.Context, after messages.Handle) iter.Seq2[persistence.WholeOrder, error]
	Records(ctx context.Context, after persistence.RecordPlace) iter.Seq2[persistence.PlacedRecord, error]
	// AllDefinitions and AllLimits yield its catalogue.
	AllDefinitions(ctx context.Context) iter.Seq2[*journalv1.DefinitionRow, error]
	AllLimits(ctx context.Context) iter.Seq2[*journalv1.LimitRow, error]
	// AllAudit yields the entries of the audit, chain by chain, in their order.
	AllAudit(ctx context.Context) iter.Seq2[persistence.AuditEntry, error]
	// MarkMoved notes that it was moved into a journal, so that nobody can use it any more.
	MarkMoved(to string) error
}

// ImportProgress is how far an import is.
type ImportProgress struct {
	// Compares: everything was written, and is compared.
	Compares bool
	// Orders and Records have been written, or compared.
	Orders, Records int64
}

// Imported is what came of an import.
type Imported struct {
	// Journal is the identity of the journal that was made.
	Journal string
	// Before: it was complete already.
	Before bool
}

// Import makes a journal in databases that have none, of another one. What was written by an import of the same that was interrupted stays.
// Then all is compared with the source; only if nothing differs the source is marked as moved, and after that nodes may use the journal:
// at no moment can nodes use both. Nothing else may be in the databases. tell is called with each step.
func Import(ctx context.Context, cfg Config, from Source, tell func(ImportProgress)) (done Imported, err error) {
	sum := from.Summary()
	cfg.source, cfg.Alone = &sum, true
	j, err := Open(ctx, cfg)
	if before, ok := errors.AsType[importedError](err); ok {
		return Imported{Journal: before.journal.String(), Before: true}, nil
	}
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, j.Close()) }() //nolint:contextcheck // it is short
	done.Journal = j.identity.name.String()
	i := &importer{journal: j, from: from, sum: sum, tell: tell}
	defer i.close() //nolint:contextcheck // it is short
	if err := i.open(ctx); err != nil {
		return done, err
	}
	if sum.MovedTo != "" && sum.MovedTo != done.Journal {
		return done, movedBefore(sum)
	}
	for _, step := range []func(context.Context) error{i.prepare, i.write, i.conclude, i.compare} {
		if err := step(ctx); err != nil {
			return done, err
		}
	}
	if err := from.MarkMoved(done.Journal); err != nil {
		return done, fmt.Errorf("mark the source as moved: %w", err)
	}
	if err := i.finish(ctx); err != nil {
		return done, err
	}
	return done, j.Fence(ctx, j.self)
}

func movedBefore(sum persistence.Summary) error {
	return unfitf("the journal %s was moved before, into %s: give that one's databases, if its import was interrupted",
		sum.Journal, sum.MovedTo)
}

// importedError is why nothing is imported: it was before. The first shard tells so, when all are complete.
type importedError struct{ journal uuid.UUID }

func (e importedError) Error() string {
	return "it was imported before, into journal " + e.journal.String()
}

// checkImport makes sure that a node uses no journal whose import is not complete, and that an import goes on with what it has begun
// itself, and nothing else.
func (s *shard) checkImport(ctx context.Context, conn *pgx.Conn) error {
	var source uuid.UUID
	var digest string
	var complete bool
	err := conn.QueryRow(ctx, `SELECT source, digest, complete FROM import`).Scan(&source, &digest, &complete)
	sum := s.journal.cfg.source
	switch {
	case errors.Is(err, pgx.ErrNoRows) && sum == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return unfitf("the schema %s has a journal already: one is imported only where there is none; give another database or schema",
			s.journal.cfg.Schema)
	case err != nil:
		return fmt.Errorf("look for an import: %w", err)
	case sum == nil && !complete:
		return unfitf("the journal is being imported from journal %s, and that is not complete: run holdfast journal import again until it is",
			source)
	case sum == nil:
		return nil
	case source.String() != sum.Journal:
		return unfitf("the schema %s has what was imported from journal %s, and not from %s: give another database or schema",
			s.journal.cfg.Schema, source, sum.Journal)
	case digest != sum.Digest:
		return unfitf("the journal %s has changed since its import was begun: a node has used it. What the schema %s has of it is of no use: "+
			"drop that schema, and import anew", sum.Journal, s.journal.cfg.Schema)
	case complete && s.number == 0:
		return unfit{importedError{s.journal.identity.name}}
	}
	return nil
}

// beginImport notes of which journal a new one is an import.
func (s *shard) beginImport(ctx context.Context, tx pgx.Tx) error {
	sum := s.journal.cfg.source
	if sum == nil {
		return nil
	}
	if sum.MovedTo != "" {
		return movedBefore(*sum)
	}
	if _, err := tx.Exec(ctx, `UPDATE meta SET feature_level = $1, generation = $2`, sum.FeatureLevel, int64(sum.Generation)); err != nil {
		return fmt.Errorf("set the feature level: %w", err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO import (source, digest) VALUES ($1::text::uuid, $2)`, sum.Journal, sum.Digest); err != nil {
		return fmt.Errorf("begin the import: %w", err)
	}
	return nil
}

// importer carries an import out.
type importer struct {
	journal *Journal
	from    Source
	sum     persistence.Summary
	shards  []*importShard
	tell    func(ImportProgress)
	done    ImportProgress
}

// importShard is a database that gets its share.
type importShard struct {
	*shard

	conn *pgx.Conn
	// last is the last order that is there, and place that of the last record.
	last  messages.Handle
	place persistence.RecordPlace
	// orders and records are to be written or compared next, and have so many bytes; entries are for the directory.
	orders    columns
	positions []int64 // of the orders
	entries   struct {
		handle    []uid
		id, hash  [][]byte
		partition []int16
	}
	records struct {
		handle []uid
		first  []int64
		events []int32
		data   [][]byte
	}
	bytes int
	// count is how many orders, entries, labels, overflowed tasks and records there should be.
	count struct{ orders, entries, labels, overflow, records int64 }
}

// The most rows, and about the most bytes, of one statement.
const (
	importRows  = 1000
	importBytes = 4 << 20
)

// open makes connections, and reads how far the import has come.
func (i *importer) open(ctx context.Context) error {
	for _, s := range i.journal.shards {
		if err := s.isDown(); err != nil {
			return fmt.Errorf("all databases of the journal have to answer: %w", err)
		}
		conn, err := s.connect(ctx, s.config.ValidateConnect)
		if err != nil {
			return s.unavailable(err)
		}
		is := &importShard{shard: s, conn: conn}
		i.shards = append(i.shards, is)
		// What is compared is looked up by keys, however large the tables are.
		if _, err := conn.Exec(ctx, `SET enable_hashjoin = off; SET enable_mergejoin = off`, pgx.QueryExecModeSimpleProtocol); err != nil {
			return s.unavailable(err)
		}
		var last, handle uid
		var first int64
		if err := conn.QueryRow(ctx, `SELECT orders, handle, first FROM import`).Scan(&last, &handle, &first); err != nil {
			return s.unavailable(err)
		}
		is.last, is.place = last, persistence.RecordPlace{Handle: handle, First: messages.Version(first)} //nolint:gosec // not negative
	}
	return nil
}

func (i *importer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range i.shards {
		_ = s.conn.Close(ctx)
	}
}

// prepare makes the tables for the months in which orders were accepted, and writes the catalogue.
func (i *importer) prepare(ctx context.Context) error {
	for _, s := range i.shards {
		for _, month := range i.sum.Months {
			if err := makeMonth(ctx, s.conn, month); err != nil {
				return s.unavailable(fmt.Errorf("make the table of %s: %w", month.Format("2006-01"), err))
			}
		}
	}
	for row, err := range i.from.AllDefinitions(ctx) {
		if err == nil {
			err = pgx.BeginFunc(ctx, i.shards[0].conn, func(tx pgx.Tx) error { return putDefinition(ctx, tx, row) })
		}
		if err != nil {
			return fmt.Errorf("write a definition: %w", err)
		}
	}
	for row, err := range i.from.AllLimits(ctx) {
		if err == nil {
			err = i.journal.PutLimit(ctx, row)
		}
		if err != nil {
			return fmt.Errorf("write a limit: %w", err)
		}
	}
	return i.importAudit(ctx)
}

// write writes what is not there yet.
func (i *importer) write(ctx context.Context) error {
	after := i.shards[0].last
	place := i.shards[0].place
	for _, s := range i.shards[1:] {
		if string(s.last[:]) < string(after[:]) {
			after = s.last
		}
		if s.place.Compare(place) < 0 {
			place = s.place
		}
	}
	i.done = ImportProgress{}
	if err := i.eachOrder(ctx, after, true, (*importShard).writeOrders); err != nil {
		return err
	}
	return i.eachRecord(ctx, place, true, (*importShard).writeRecords)
}

// conclude writes what belongs to whole shards.
func (i *importer) conclude(ctx context.Context) error {
	var partitions []int16
	var epochs []int64
	for p, e := range i.sum.Epochs {
		partitions, epochs = append(partitions, int16(p)), append(epochs, int64(e)) //nolint:gosec // epochs don't get that high
	}
	for _, s := range i.shards {
		if err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
			for _, statement := range []struct {
				sql  string
				args []any
			}{
				{`UPDATE partitions p SET epoch = e.epoch, owner = NULL
					FROM unnest($1::smallint[], $2::bigint[]) AS e (partition, epoch) WHERE p.partition = e.partition`, []any{partitions, epochs}},
				// A batch draws a number, and counts up from where it is shifted to.
				{`SELECT setval('positions', GREATEST($1::bigint >> 20, 1))`, []any{int64(i.sum.Position)}}, //nolint:gosec // not that high
				{`DELETE FROM fallout`, nil},
				{`INSERT INTO fallout SELECT count(*) FILTER (WHERE ended_badly = $1), count(*) FILTER (WHERE in_doubt)
					FROM orders WHERE ended_badly IS NOT NULL`, []any{statusFaulted}},
			} {
				if _, err := tx.Exec(ctx, statement.sql, statement.args...); err != nil {
					return err //nolint:wrapcheck // said below
				}
			}
			return nil
		}); err != nil {
			return s.unavailable(fmt.Errorf("conclude the import: %w", err))
		}
		if _, err := s.conn.Exec(ctx, `ANALYZE`); err != nil {
			return s.unavailable(fmt.Errorf("have the server look at the tables: %w", err))
		}
	}
	return nil
}

// finish has nodes use the journal: the first shard comes last, without which none can.
func (i *importer) finish(ctx context.Context) error {
	for _, s := range slices.Backward(i.shards) {
		if _, err := s.conn.Exec(ctx, `UPDATE import SET complete = true`); err != nil {
			return s.unavailable(fmt.Errorf("complete the import: %w", err))
		}
	}
	return nil
}
