package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// Fallout counts the orders that have faulted.
func (j *Journal) Fallout(ctx context.Context) (all persistence.Fallout, err error) {
	for _, s := range j.shards {
		err = errors.Join(err, s.read(ctx, "count the orders that have faulted", func(ctx context.Context, conn *pgxpool.Conn) error {
			var here persistence.Fallout
			err := conn.QueryRow(ctx, `SELECT COALESCE(sum(faulted), 0)::bigint, COALESCE(sum(in_doubt), 0)::bigint FROM fallout`).
				Scan(&here.Faulted, &here.InDoubt)
			all.Faulted += here.Faulted
			all.InDoubt += here.InDoubt
			return err //nolint:wrapcheck // said by read
		}))
	}
	return all, err
}

// List returns orders, newest first: those of all shards, merged.
func (j *Journal) List(ctx context.Context, q persistence.Query) (found []persistence.FoundOrder, next messages.Handle, err error) {
	if err := q.Check(); err != nil {
		return nil, next, err
	}
	where, args := conditions(q)
	scanned := 0
	for after := q.After; ; {
		page, err := j.candidates(ctx, where, args, after, min(listPage, q.Scan-scanned+1))
		if err != nil {
			return nil, messages.Handle{}, err
		}
		for _, o := range page {
			if len(found) == q.Limit || scanned == q.Scan {
				return found, after, nil
			}
			scanned++
			if q.Matches(o.Row) {
				found = append(found, o)
			}
			after = o.Handle
		}
		if len(page) == 0 {
			return found, messages.Handle{}, nil
		}
	}
}

// listPage is the most orders that are read at once.
const listPage = 200

// candidates reads the next orders that meet those conditions of a query which have an index.
func (j *Journal) candidates(
	ctx context.Context, where string, args []any, after messages.Handle, limit int,
) (page []persistence.FoundOrder, err error) {
	if !after.IsZero() {
		args = append(slices.Clone(args), uid(after))
		where += fmt.Sprintf(` AND o.handle < $%d`, len(args))
	}
	for _, s := range j.shards {
		err := s.read(ctx, "list orders", func(ctx context.Context, conn *pgxpool.Conn) error {
			rows, err := conn.Query(ctx,
				`SELECT o.handle, o.row FROM orders o WHERE `+where+fmt.Sprintf(` ORDER BY o.handle DESC LIMIT %d`, limit), args...)
			if err != nil {
				return err //nolint:wrapcheck // said by read
			}
			some, err := pgx.CollectRows(rows, foundOrder)
			page = append(page, some...)
			return err //nolint:wrapcheck // said by read
		})
		if err != nil {
			return nil, err
		}
	}
	if len(j.shards) > 1 {
		slices.SortFunc(page, func(a, b persistence.FoundOrder) int { return bytes.Compare(b.Handle[:], a.Handle[:]) })
	}
	return page[:min(len(page), limit)], nil
}

func foundOrder(row pgx.CollectableRow) (o persistence.FoundOrder, err error) {
	var h uid
	var stored []byte
	if err := row.Scan(&h, &stored); err != nil {
		return o, err //nolint:wrapcheck // said by read
	}
	o.Handle = h
	o.Row, err = decode(stored, &journalv1.OrderRow{}, "row of order "+o.Handle.String())
	return o, err
}

// conditions are those of a query that have an index.
func conditions(q persistence.Query) (where string, args []any) {
	var all []string
	add := func(condition string, arg any) {
		args = append(args, arg)
		all = append(all, fmt.Sprintf(condition, len(args)))
	}
	all = append(all, `o.name IS NOT NULL`)
	if q.OrderKey != "" {
		add(`o.key = $%d`, hashOf(q.OrderKey))
	}
	for _, l := range q.Labels {
		add(`EXISTS (SELECT FROM labels l WHERE l.label = $%d AND l.handle = o.handle)`, hashOf(l.GetName(), l.GetValue()))
	}
	if q.Definition != "" {
		add(`o.name = $%d`, hashOf(rows.DefinitionName(q.Definition)))
	}
	if n := len(q.Statuses); n > 0 && !slices.ContainsFunc(q.Statuses, func(s orderv1.Status) bool { return !rows.EndedBadly(s) }) {
		statuses := make([]int16, 0, n)
		for _, s := range q.Statuses {
			statuses = append(statuses, int16(s)) //nolint:gosec // a status is small
		}
		add(`o.ended_badly = ANY ($%d)`, statuses)
	}
	newest, oldest := q.Handles()
	add(`o.handle <= $%d`, uid(newest))
	add(`o.handle >= $%d`, uid(oldest))
	return strings.Join(all, ` AND `), args
}
