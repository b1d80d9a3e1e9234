package postgres

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// ShowShards tells how each database is, for people. It waits for one that does not answer as long as a read does.
func (j *Journal) ShowShards(ctx context.Context) []*adminv1.JournalShard {
	shown := make([]*adminv1.JournalShard, len(j.shards))
	_ = j.each(func(s *shard) error {
		shown[s.number] = s.show(ctx)
		return nil
	})
	return shown
}

func (s *shard) show(ctx context.Context) *adminv1.JournalShard {
	x := &adminv1.JournalShard{Shard: uint32(s.number), Address: addressOf(s.config)} //nolint:gosec // it is not negative
	for p := range messages.Partition(messages.Partitions) {
		if s.journal.ShardOf(p) == s.number {
			x.Partitions++
		}
	}
	for _, c := range s.committers {
		lane := uint32(c.number) //nolint:gosec // it is not negative
		x.Lanes = append(x.Lanes, &adminv1.JournalLane{Lane: lane, Confirmed: c.confirmed.Load()})
	}
	err := s.read(ctx, "look at the database", func(ctx context.Context, conn *pgxpool.Conn) error { return see(ctx, conn, x) })
	if err != nil {
		x.Unreachable = err.Error()
	}
	return x
}

// see fills in what the server tells of itself.
func see(ctx context.Context, conn *pgxpool.Conn, x *adminv1.JournalShard) error {
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('synchronous_standby_names'), generation,
			(SELECT COALESCE(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
				WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'S')),
			pg_database_size(current_database())
		FROM meta`).
		Scan(&x.ServerVersion, &x.SynchronousStandbyNames, &x.Generation, &x.JournalBytes, &x.DatabaseBytes); err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	rows, err := conn.Query(ctx, `SELECT COALESCE(application_name, ''), COALESCE(sync_state, ''),
			COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn), 0)::bigint
		FROM pg_stat_replication ORDER BY 1`)
	if err != nil {
		return fmt.Errorf("ask for the standbys: %w", err)
	}
	x.Standbys, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*adminv1.Standby, error) {
		var standby adminv1.Standby
		return &standby, row.Scan(&standby.Name, &standby.SyncState, &standby.BehindBytes)
	})
	if err != nil {
		return fmt.Errorf("ask for the standbys: %w", err)
	}
	x.Server = conn.Conn().PgConn().Conn().RemoteAddr().String()
	return nil
}

// addressOf is where a database is: its servers and its name, and nothing that is secret.
func addressOf(config *pgx.ConnConfig) string {
	servers := []string{net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))}
	for _, f := range config.Fallbacks {
		if at := net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))); !slices.Contains(servers, at) {
			servers = append(servers, at)
		}
	}
	return strings.Join(servers, ",") + "/" + config.Database
}
