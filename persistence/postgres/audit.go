package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast-run/holdfast/persistence"
)

// AppendAudit adds entries to a chain. Of two who add to the same end one is refused: by the primary key, if they do so at once.
func (j *Journal) AppendAudit(ctx context.Context, chain string, first uint64, entries [][]byte) error {
	if err := persistence.CheckAudit(chain, first, entries); err != nil {
		return err
	}
	taken := false
	err := j.catalog().read(ctx, "add to the audit", func(ctx context.Context, conn *pgxpool.Conn) error {
		tag, err := conn.Exec(ctx, `INSERT INTO audit (chain, sequence, entry)
			SELECT $1, $2::bigint + e.place - 1, e.entry FROM unnest($3::bytea[]) WITH ORDINALITY AS e (entry, place)
			WHERE COALESCE((SELECT max(sequence) FROM audit WHERE chain = $1), 0) = $2::bigint - 1`,
			[]byte(chain), int64(first), entries) //nolint:gosec // sequences don't get that high
		if taken = isTaken(err) || err == nil && tag.RowsAffected() == 0; taken {
			return nil
		}
		return err //nolint:wrapcheck // said by read
	})
	if taken {
		return persistence.AuditConflict(chain, first)
	}
	return err
}

// AuditEntries returns entries of a chain.
func (j *Journal) AuditEntries(ctx context.Context, chain string, from uint64, limit int) (entries []persistence.AuditEntry, err error) {
	err = j.catalog().read(ctx, "read the audit", func(ctx context.Context, conn *pgxpool.Conn) error {
		found, err := conn.Query(ctx, `SELECT sequence, entry FROM audit WHERE chain = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3`,
			[]byte(chain), int64(from), limit) //nolint:gosec // sequences don't get that high
		if err != nil {
			return err //nolint:wrapcheck // said by read
		}
		entries, err = pgx.CollectRows(found, func(row pgx.CollectableRow) (e persistence.AuditEntry, err error) {
			e.Chain = chain
			return e, row.Scan(&e.Sequence, &e.Value)
		})
		return err //nolint:wrapcheck // said by read
	})
	return entries, err
}

// auditChains finds each chain by the one before it, however long they are.
const auditChains = `WITH RECURSIVE names AS (
		(SELECT chain FROM audit ORDER BY chain LIMIT 1)
		UNION ALL
		SELECT (SELECT a.chain FROM audit a WHERE a.chain > n.chain ORDER BY a.chain LIMIT 1) FROM names n WHERE n.chain IS NOT NULL
	)
	SELECT n.chain, (SELECT min(sequence) FROM audit a WHERE a.chain = n.chain), (SELECT max(sequence) FROM audit a WHERE a.chain = n.chain)
	FROM names n WHERE n.chain IS NOT NULL ORDER BY n.chain`

// AuditChains returns the chains that there are.
func (j *Journal) AuditChains(ctx context.Context) (chains []persistence.AuditChain, err error) {
	err = j.catalog().read(ctx, "read the chains of the audit", func(ctx context.Context, conn *pgxpool.Conn) error {
		found, err := conn.Query(ctx, auditChains)
		if err != nil {
			return err //nolint:wrapcheck // said by read
		}
		chains, err = pgx.CollectRows(found, func(row pgx.CollectableRow) (c persistence.AuditChain, err error) {
			var name []byte
			err = row.Scan(&name, &c.First, &c.Last)
			c.Name = string(name)
			return c, err //nolint:wrapcheck // said by read
		})
		return err //nolint:wrapcheck // said by read
	})
	return chains, err
}

// TrimAudit removes the oldest entries of a chain.
func (j *Journal) TrimAudit(ctx context.Context, chain string, from uint64) error {
	return j.catalog().read(ctx, "remove the oldest entries of the audit", func(ctx context.Context, conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, `DELETE FROM audit
			WHERE chain = $1 AND sequence < LEAST($2::bigint, (SELECT max(sequence) FROM audit WHERE chain = $1))`,
			[]byte(chain), int64(from)) //nolint:gosec // sequences don't get that high
		return err //nolint:wrapcheck // said by read
	})
}

// importAudit writes the chains of the source, as far as they are not there.
func (i *importer) importAudit(ctx context.Context) error {
	s := i.shards[0]
	for e, err := range i.from.AllAudit(ctx) {
		if err == nil {
			_, err = s.conn.Exec(ctx, `INSERT INTO audit (chain, sequence, entry) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
				[]byte(e.Chain), int64(e.Sequence), e.Value) //nolint:gosec // sequences don't get that high
		}
		if err != nil {
			return fmt.Errorf("write an entry of the audit: %w", err)
		}
	}
	return nil
}

// compareAudit compares the chains.
func (i *importer) compareAudit(ctx context.Context) error {
	s := i.shards[0]
	n := int64(0)
	if err := s.conn.QueryRow(ctx, `SELECT count(*) FROM audit`).Scan(&n); err != nil {
		return s.unavailable(fmt.Errorf("compare: %w", err))
	}
	for e, err := range i.from.AllAudit(ctx) {
		if err != nil {
			return err
		}
		n--
		var there []byte
		err = s.conn.QueryRow(ctx, `SELECT entry FROM audit WHERE chain = $1 AND sequence = $2`,
			[]byte(e.Chain), int64(e.Sequence)).Scan(&there) //nolint:gosec // sequences don't get that high
		switch {
		case err != nil && !errors.Is(err, pgx.ErrNoRows):
			return s.unavailable(fmt.Errorf("compare: %w", err))
		case err != nil, !bytes.Equal(there, e.Value):
			return fmt.Errorf("%w: entry %d of chain %q of the audit", errDiffers, e.Sequence, e.Chain)
		}
	}
	if n != 0 {
		return fmt.Errorf("%w: there are %d entries of the audit more", errDiffers, n)
	}
	return nil
}
