package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
	"github.com/holdfast-run/holdfast/scenarios/load"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// noPostgres says why rows with a journal in PostgreSQL are not measured; empty: they are.
func noPostgres(s *site) string {
	if s.postgres == "" {
		return "skipped: PostgreSQL is not installed"
	}
	return ""
}

// database is a PostgreSQL server of a row's own.
type database struct {
	*pgserver.Server

	dir string
}

// startDatabase starts a server whose data is on a disk. Its log is in the row's folder. Stop it.
func startDatabase(ctx context.Context, s *site) (*database, error) {
	parent := s.dir
	if os.Geteuid() == 0 {
		parent = os.TempDir() // the server runs as another user, who may not enter the row's folder
	}
	if name, memory, err := stage.Filesystem(parent); err != nil || memory {
		return nil, errors.Join(err, fmt.Errorf("%s is on a %s: a database is to be on a disk", parent, name))
	}
	d := &database{}
	var err error
	if d.dir, err = os.MkdirTemp(parent, "holdfast-postgres-"); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	d.Server, err = pgserver.Make(ctx, s.postgres, d.dir)
	if err == nil {
		d.Log = s.dir + "/postgres.log"
		err = d.start() //nolint:contextcheck // it lives longer than the call
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(d.dir))
	}
	return d, nil
}

func (d *database) start() error { return d.Start("shared_buffers=256MB", "max_wal_size=4GB") }

// standby starts the server again, as startPrimary does, with a standby, which is started with some settings. Its log is beside the
// server's. Stop it before the server.
func (d *database) standby(ctx context.Context, startPrimary func() error, settings ...string) (*pgserver.Server, error) {
	d.Stop() // so that a copy of its files is a backup
	dir, err := os.MkdirTemp(d.dir, "standby-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	standby, err := d.Standby(ctx, dir)
	if err != nil {
		return nil, err
	}
	standby.Log = filepath.Join(filepath.Dir(d.Log), "standby.log")
	if err := startPrimary(); err != nil {
		return nil, err
	}
	err = standby.Start(append([]string{"shared_buffers=64MB"}, settings...)...) //nolint:contextcheck // it lives longer than the call
	if err != nil {
		return nil, err
	}
	return standby, nil
}

// stop ends the server, and removes its data.
func (d *database) stop() error {
	d.Stop()
	return os.RemoveAll(d.dir) //nolint:wrapcheck // it names the folder
}

// postgresDatabase is the database that every server has.
const postgresDatabase = "postgres"

// onPostgres measures w3 with a node whose journal is in a database, and what that writes.
func (d *database) onPostgres(ctx context.Context, s *site, inFlight int, duration string) (*load.Result, figures, error) {
	node := *s
	node.env = append(node.env, "HOLDFAST_JOURNAL="+d.Address(postgresDatabase))
	r, f, err := w3At(ctx, &node, inFlight, duration)
	if err != nil {
		return nil, nil, err
	}
	delete(f, "bytes_per_order") // they are not in the node's folder
	return r, f, d.writes(ctx, f)
}

// writes tells how much was written for each order.
func (d *database) writes(ctx context.Context, f figures) error {
	conn, err := pgx.Connect(ctx, d.Address(postgresDatabase))
	if err != nil {
		return fmt.Errorf("look at the database: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is under way
	var orders, inserts, updates, dead, wal float64
	if err := conn.QueryRow(ctx, `SELECT max(n_tup_ins) FILTER (WHERE relname = 'orders'), sum(n_tup_ins), sum(n_tup_upd), sum(n_dead_tup),
		(SELECT wal_bytes FROM pg_stat_wal) FROM pg_stat_user_tables WHERE schemaname = 'holdfast'`).
		Scan(&orders, &inserts, &updates, &dead, &wal); err != nil {
		return fmt.Errorf("look at what the database has written: %w", err)
	}
	f["inserts_per_order"], f["updates_per_order"] = round(inserts/orders, 2), round(updates/orders, 2)
	f["wal_bytes_per_order"], f["dead_rows_per_order"] = round(wal/orders, 0), round(dead/orders, 2)
	return nil
}

// withDatabase measures something with a server of its own.
func withDatabase(ctx context.Context, s *site, measure func(d *database) (figures, error)) (figures, error) {
	if why := noPostgres(s); why != "" {
		return figures{"postgres": why}, nil
	}
	d, err := startDatabase(ctx, s)
	if err != nil {
		return nil, err
	}
	f, err := measure(d)
	return f, errors.Join(err, d.stop())
}

// besideYardstick measures w3 on PostgreSQL, and then the yardstick on the same server.
func besideYardstick(ctx context.Context, s *site, inFlight int, duration string) (figures, error) {
	return withDatabase(ctx, s, func(d *database) (figures, error) {
		r, f, err := d.onPostgres(ctx, s, inFlight, duration)
		if err != nil || noYardstick(s) != "" {
			return f, err
		}
		stick, err := runYardstick(ctx, s, inFlight, "-postgres", d.Address(postgresDatabase), "-connections", "1")
		if err != nil {
			return f, err
		}
		f["yardstick_rate_per_s"], f["yardstick_ratio"] = round(stick.RatePerS, 0), round(r.RatePerS/stick.RatePerS, 3)
		f["yardstick_p50_ms"], f["yardstick_p50_ratio"] = stick.P50MS, round(r.P50MS/stick.P50MS, 3)
		return f, nil
	})
}

// pgW3 measures the main workload with a journal in PostgreSQL, on the same cores.
func pgW3(ctx context.Context, s *site) (figures, error) {
	return besideYardstick(ctx, s, 256, s.seconds(10, 5))
}

func pgW3Bars(s *site) bars {
	if noPostgres(s) != "" {
		return bars{}
	}
	b := bars{"rate_per_s": s.atRate(4000)}.none("errors")
	if noYardstick(s) == "" {
		b["yardstick_ratio"] = atLeast(0.20).aiming(0.35)
	}
	return b
}

// pgLatency measures one order alone with a journal in PostgreSQL.
func pgLatency(ctx context.Context, s *site) (figures, error) {
	return besideYardstick(ctx, s, 1, s.seconds(10, 5))
}

func pgLatencyBars(s *site) bars {
	if noPostgres(s) != "" {
		return bars{}
	}
	b := bars{}.none("errors")
	if noYardstick(s) == "" {
		b["yardstick_p50_ratio"] = atMost(2).aiming(1.5)
	}
	return b
}

// pgLong measures whether the speed lasts while somebody has a snapshot open, as pg_dump has, so that nothing that is dead can be removed.
func pgLong(ctx context.Context, s *site) (figures, error) {
	if s.ci() {
		return skippedAtCI(), nil
	}
	return withDatabase(ctx, s, func(d *database) (figures, error) {
		conn, err := pgx.Connect(ctx, d.Address(postgresDatabase))
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
		defer conn.Close(ctx) //nolint:errcheck // nothing is under way
		tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
		if err == nil {
			_, err = tx.Exec(ctx, `SELECT`)
		}
		if err != nil {
			return nil, fmt.Errorf("open a snapshot: %w", err)
		}
		r, f, err := d.onPostgres(ctx, s, 256, "600s")
		if err != nil {
			return f, err
		}
		if err := tx.Commit(ctx); err != nil {
			return f, fmt.Errorf("end the snapshot: %w", err)
		}
		if f["dead_rows_after_vacuum"], err = vacuum(ctx, conn); err != nil {
			return f, err
		}
		return f, pgLasting(f, r.Series)
	})
}

// vacuum removes dead rows, and counts those that are left.
func vacuum(ctx context.Context, conn *pgx.Conn) (dead int64, err error) {
	if _, err = conn.Exec(ctx, `VACUUM`); err != nil {
		return 0, fmt.Errorf("vacuum: %w", err)
	}
	if err = conn.QueryRow(ctx, `SELECT sum(n_dead_tup) FROM pg_stat_user_tables WHERE schemaname = 'holdfast'`).Scan(&dead); err != nil {
		return 0, fmt.Errorf("count dead rows: %w", err)
	}
	return dead, nil
}

// pgLasting compares the last minute of a run with its first one.
func pgLasting(f figures, series []load.Interval) error {
	n := minute
	if len(series) < 2*n {
		return fmt.Errorf("the series has %d intervals: at least %d are needed", len(series), 2*n)
	}
	var first, last float64
	for i := range n {
		first += series[i].RatePerS / float64(n)
		last += series[len(series)-1-i].RatePerS / float64(n)
	}
	f["first_rate_per_s"], f["last_rate_per_s"], f["last_rate_share"] = round(first, 0), round(last, 0), round(last/first, 3)
	return nil
}

func pgLongBars(s *site) bars {
	switch {
	case s.ci():
		return bars{"skipped": atLeast(1)}
	case noPostgres(s) != "":
		return bars{}
	}
	return bars{"last_rate_share": s.atRate(0.8), "dead_rows_per_order": atMost(1.5)}.none("errors", "dead_rows_after_vacuum")
}
