package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// catalog is the shard that has the catalogue.
func (j *Journal) catalog() *shard { return j.shards[0] }

// CatalogVersion rises with each change.
func (j *Journal) CatalogVersion(ctx context.Context) (version uint64, err error) {
	err = j.catalog().read(ctx, "read the version of the catalogue", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `SELECT catalog FROM meta`).Scan(&version)
	})
	return version, err
}

// FeatureLevel returns the level of the journal.
func (j *Journal) FeatureLevel(ctx context.Context) (level uint32, err error) {
	err = j.catalog().read(ctx, "read the feature level", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `SELECT feature_level FROM meta`).Scan(&level)
	})
	return level, err
}

// RaiseFeatureLevel raises it.
func (j *Journal) RaiseFeatureLevel(ctx context.Context, level uint32) error {
	if err := persistence.CheckLevel(level); err != nil {
		return err
	}
	for _, s := range j.shards {
		if err := s.read(ctx, "raise the feature level", func(ctx context.Context, conn *pgxpool.Conn) error {
			_, err := conn.Exec(ctx, `UPDATE meta SET feature_level = $1, catalog = catalog + 1 WHERE feature_level < $1`, level)
			return err //nolint:wrapcheck // said by read
		}); err != nil {
			return err
		}
	}
	return nil
}

// change changes the catalogue, and notes that it has changed if the function says so.
func (j *Journal) change(ctx context.Context, what string, do func(context.Context, pgx.Tx) (changed bool, err error)) error {
	var told error // what is wrong with the request, not with the database
	err := j.catalog().read(ctx, what, func(ctx context.Context, conn *pgxpool.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			// Changes are made one after the other.
			if _, err := tx.Exec(ctx, `SELECT FROM meta FOR UPDATE`); err != nil {
				return err //nolint:wrapcheck // said by read
			}
			changed, err := do(ctx, tx)
			if errors.Is(err, persistence.ErrConflict) || errors.Is(err, persistence.ErrNotFound) {
				told = err
				return nil
			}
			if err == nil && changed {
				_, err = tx.Exec(ctx, `UPDATE meta SET catalog = catalog + 1`)
			}
			return err //nolint:wrapcheck // said by read
		})
	})
	return errors.Join(err, told)
}

const definitionIs = ` WHERE namespace = $1 AND name = $2 AND version = $3`

func definitionKey(ref messages.DefinitionRef) []any {
	return []any{[]byte(ref.Namespace), []byte(ref.Name), []byte(ref.Version)}
}

// definition reads a definition with a connection or in a transaction. ErrNotFound if there is none.
func definition(
	ctx context.Context, tx interface {
		QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	}, ref messages.DefinitionRef,
) (*journalv1.DefinitionRow, error) {
	var stored []byte
	err := tx.QueryRow(ctx, `SELECT row FROM definitions`+definitionIs, definitionKey(ref)...).Scan(&stored)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("read definition %s: %w", ref, persistence.ErrNotFound)
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // said by read
	}
	return decode(stored, &journalv1.DefinitionRow{}, "definition "+ref.String())
}

// PutDefinition stores a definition for good.
func (j *Journal) PutDefinition(ctx context.Context, row *journalv1.DefinitionRow) (stored *journalv1.DefinitionRow, err error) {
	ref := messages.RefOf(row)
	if err := persistence.CheckDefinition(ref); err != nil {
		return nil, err
	}
	err = j.change(ctx, "store definition "+ref.String(), func(ctx context.Context, tx pgx.Tx) (bool, error) {
		stored, err = definition(ctx, tx, ref)
		switch {
		case err == nil && !bytes.Equal(stored.GetHash(), row.GetHash()):
			return false, fmt.Errorf("%w: another document is deployed as %s", persistence.ErrConflict, ref)
		case err == nil && persistence.Redeploy(stored):
			return true, putDefinition(ctx, tx, stored)
		case !errors.Is(err, persistence.ErrNotFound):
			return false, err
		}
		stored = proto.CloneOf(row)
		return true, putDefinition(ctx, tx, row)
	})
	if err != nil {
		return nil, err
	}
	return stored, nil
}

func putDefinition(ctx context.Context, tx pgx.Tx, row *journalv1.DefinitionRow) error {
	encoded, err := encode(row)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO definitions (namespace, name, version, row) VALUES ($1, $2, $3, $4)
		ON CONFLICT (namespace, name, version) DO UPDATE SET row = excluded.row`, append(definitionKey(messages.RefOf(row)), encoded)...)
	return err //nolint:wrapcheck // said by read
}

// Definition returns one definition.
func (j *Journal) Definition(ctx context.Context, ref messages.DefinitionRef) (row *journalv1.DefinitionRow, err error) {
	missing := error(nil)
	err = j.catalog().read(ctx, "read definition "+ref.String(), func(ctx context.Context, conn *pgxpool.Conn) error {
		row, err = definition(ctx, conn, ref)
		if errors.Is(err, persistence.ErrNotFound) {
			missing = err
			return nil
		}
		return err
	})
	return row, errors.Join(err, missing)
}

// RetireDefinition notes that a definition is not for new orders any more, or with nil that it is again.
func (j *Journal) RetireDefinition(
	ctx context.Context, ref messages.DefinitionRef, r *journalv1.Retirement,
) (row *journalv1.DefinitionRow, err error) {
	err = j.change(ctx, "retire definition "+ref.String(), func(ctx context.Context, tx pgx.Tx) (bool, error) {
		if row, err = definition(ctx, tx, ref); err != nil || (row.GetRetirement() == nil) == (r == nil) {
			return false, err
		}
		row.Retirement = proto.CloneOf(r)
		return true, putDefinition(ctx, tx, row)
	})
	if err != nil {
		return nil, err
	}
	return row, nil
}

// RemoveDefinition notes that a retired definition is removed.
func (j *Journal) RemoveDefinition(
	ctx context.Context, ref messages.DefinitionRef, at int64,
) (row *journalv1.DefinitionRow, err error) {
	err = j.change(ctx, "remove definition "+ref.String(), func(ctx context.Context, tx pgx.Tx) (bool, error) {
		if row, err = definition(ctx, tx, ref); err != nil {
			return false, err
		}
		changed, err := persistence.Remove(row, at)
		if changed {
			err = putDefinition(ctx, tx, row)
		}
		return changed, err
	})
	if err != nil {
		return nil, err
	}
	return row, nil
}

// DefinitionMarks returns a mark of each definition: the transaction that wrote the row, and its place.
func (j *Journal) DefinitionMarks(ctx context.Context) (marks map[messages.DefinitionRef]persistence.DefinitionMark, err error) {
	err = j.catalog().read(ctx, "read the marks of definitions", func(ctx context.Context, conn *pgxpool.Conn) error {
		marks = map[messages.DefinitionRef]persistence.DefinitionMark{}
		found, err := conn.Query(ctx, `SELECT namespace, name, version, xmin::text || ctid::text FROM definitions`)
		if err != nil {
			return err //nolint:wrapcheck // said by read
		}
		var namespace, name, version []byte
		var mark string
		_, err = pgx.ForEachRow(found, []any{&namespace, &name, &version, &mark}, func() error {
			ref := messages.DefinitionRef{Namespace: string(namespace), Name: string(name), Version: string(version)}
			marks[ref] = persistence.DefinitionMark(mark)
			return nil
		})
		return err //nolint:wrapcheck // said by read
	})
	return marks, err
}

// AllDefinitions returns all definitions.
func (j *Journal) AllDefinitions(ctx context.Context) iter.Seq2[*journalv1.DefinitionRow, error] {
	return all(ctx, j, "definitions", `SELECT row FROM definitions ORDER BY namespace, name, version`,
		func() *journalv1.DefinitionRow { return &journalv1.DefinitionRow{} })
}

// all yields the rows of a table of the catalogue.
func all[M proto.Message](ctx context.Context, j *Journal, what, sql string, empty func() M) iter.Seq2[M, error] {
	return func(yield func(M, error) bool) {
		var none M
		var stored [][]byte
		err := j.catalog().read(ctx, "read the "+what, func(ctx context.Context, conn *pgxpool.Conn) error {
			found, err := conn.Query(ctx, sql)
			if err != nil {
				return err //nolint:wrapcheck // said by read
			}
			stored, err = pgx.CollectRows(found, pgx.RowTo[[]byte])
			return err //nolint:wrapcheck // said by read
		})
		if err != nil {
			yield(none, err)
			return
		}
		for _, encoded := range stored {
			row, err := decode(encoded, empty(), what)
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// PutLimit stores the limit of an activity, or removes it.
func (j *Journal) PutLimit(ctx context.Context, row *journalv1.LimitRow) error {
	if err := persistence.CheckLimit(row); err != nil {
		return err
	}
	encoded, err := encode(row)
	if err != nil {
		return err
	}
	return j.change(ctx, "store the limit of "+row.GetActivity(), func(ctx context.Context, tx pgx.Tx) (bool, error) {
		if row.GetRate() == 0 && row.GetConcurrency() == 0 {
			_, err := tx.Exec(ctx, `DELETE FROM limits WHERE activity = $1`, []byte(row.GetActivity()))
			return true, err //nolint:wrapcheck // said by read
		}
		_, err := tx.Exec(ctx, `INSERT INTO limits (activity, row) VALUES ($1, $2) ON CONFLICT (activity) DO UPDATE SET row = excluded.row`,
			[]byte(row.GetActivity()), encoded)
		return true, err //nolint:wrapcheck // said by read
	})
}

// AllLimits returns all limits.
func (j *Journal) AllLimits(ctx context.Context) iter.Seq2[*journalv1.LimitRow, error] {
	return all(ctx, j, "limits", `SELECT row FROM limits ORDER BY activity`, func() *journalv1.LimitRow { return &journalv1.LimitRow{} })
}
