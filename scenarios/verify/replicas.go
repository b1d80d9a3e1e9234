package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
)

// replicas are a primary and its standby, without which that confirms nothing. Nodes reach each of them through a lossy.
type replicas struct {
	primary, standby             *pgserver.Server
	beforePrimary, beforeStandby *lossy
}

// replicate gives a database a synchronous standby. Stop it before the database.
func replicate(ctx context.Context, d *database) (r *replicas, err error) {
	r = &replicas{primary: d.Server}
	defer func() {
		if err != nil {
			r.stop()
		}
	}()
	// A standby that has lost the primary for a moment is back soon: what is measured is how soon the nodes are.
	if r.standby, err = d.standby(ctx, r.startPrimary, "wal_retrieve_retry_interval=100ms"); err != nil {
		return nil, err
	}
	if r.beforePrimary, err = newLossy(ctx, r.primary.Port); err != nil {
		return nil, err
	}
	r.beforeStandby, err = newLossy(ctx, r.standby.Port)
	return r, err
}

func (r *replicas) startPrimary() error {
	return r.primary.Start("shared_buffers=256MB", "max_wal_size=4GB", "wal_keep_size=512MB", "synchronous_standby_names=standby")
}

// stop ends the standby, and the connections of nodes. The primary is not paused then.
func (r *replicas) stop() {
	_ = r.primary.Resume() // else nobody can end it
	for _, l := range []*lossy{r.beforePrimary, r.beforeStandby} {
		if l != nil {
			l.stop()
		}
	}
	if r.standby != nil {
		r.standby.Stop()
	}
}

// address is the connection string of the nodes. The primary is tried first, also when it is none any more.
func (r *replicas) address() string {
	return fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=%s sslmode=disable target_session_attrs=read-write",
		r.beforePrimary.port, r.beforeStandby.port, postgresDatabase)
}

// promote makes a standby the primary.
func promote(ctx context.Context, standby *pgserver.Server) error {
	conn, err := pgx.Connect(ctx, standby.Address(postgresDatabase))
	if err != nil {
		return fmt.Errorf("connect to the standby: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is under way
	var promoted bool
	if err := conn.QueryRow(ctx, `SELECT pg_promote(true, 30)`).Scan(&promoted); err != nil {
		return fmt.Errorf("promote the standby: %w", err)
	}
	if !promoted {
		return errors.New("the standby did not become the primary")
	}
	return nil
}
