package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// lagging has a standby promoted that lacks what was confirmed: a standby that is not synchronous, and hears of nothing for a while.
func lagging(ctx context.Context, s *site) (figures, error) {
	if noCluster(s) {
		return withoutCluster(), nil
	}
	var p *replicated
	return withOwnCluster(ctx, s, func(c *cluster, spec *stage.ClusterSpec) (err error) {
		p, err = lagged(ctx, c.database)
		if err != nil {
			return err
		}
		c.atEnd, spec.Journal = append(c.atEnd, p.standby.Stop), p.address()
		return nil
	}, withSystems(func(ctx context.Context, r *clusterRow) (figures, error) {
		f := figures{}
		err := r.during(ctx, laggingRate(s), f, func(ctx context.Context, _ *pulse) error { return r.lag(ctx, p, f) })
		if err == nil {
			err = r.acceptLoss(ctx, p, f)
		}
		return f, err
	}))
}

// laggingRate is how many orders come in a second. Those of ten seconds wait while there is no database.
func laggingRate(s *site) int {
	if s.ci() {
		return 100
	}
	return 300
}

// replicated is a primary and its standby, which is not synchronous.
type replicated struct{ primary, standby *pgserver.Server }

// lagged gives a database a standby that is not waited for.
func lagged(ctx context.Context, d *database) (p *replicated, err error) {
	p = &replicated{primary: d.Server}
	p.standby, err = d.standby(ctx, p.startPrimary)
	return p, err
}

func (p *replicated) startPrimary() error {
	return p.primary.Start("shared_buffers=256MB", "wal_keep_size=512MB")
}

// address is the connection string of both. The standby comes first, so that each connection is tried to it before the other one.
func (p *replicated) address() string {
	return fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=%s sslmode=disable", p.standby.Port, p.primary.Port,
		postgresDatabase)
}

// lag promotes the standby while it lacks something, and then brings the right server back.
func (r *clusterRow) lag(ctx context.Context, p *replicated, f figures) error {
	if err := r.settled(ctx); err != nil {
		return err
	}
	if err := p.cutOff(ctx); err != nil {
		return err
	}
	if err := stage.Pause(ctx, 3*time.Second); err != nil { // so that something is confirmed, and published
		return err
	}
	lost, err := p.lacks(ctx)
	if err != nil {
		return err
	}
	f["unreplicated"] = lost
	p.primary.Kill()
	if err := stage.Pause(ctx, time.Second); err != nil { // the tasks that were sent end
		return err
	}
	if err := promote(ctx, p.standby); err != nil {
		return err
	}
	before, err := r.acted(ctx, p.standby)
	if err != nil {
		return err
	}
	if _, err := r.Add(r.running); err != nil { //nolint:contextcheck // it runs as long as the cluster
		return err
	}
	if f["refused_by"], err = r.refusals(ctx, refusal); err != nil {
		return err
	}
	if err := stage.Pause(ctx, 3*time.Second); err != nil { // time in which something might be done
		return err
	}
	after, err := r.acted(ctx, p.standby)
	if err != nil {
		return err
	}
	f["written"], f["dispatched"] = after.written-before.written, after.dispatched-before.dispatched
	if f["not_alive"], err = r.stuckNodes(ctx); err != nil {
		return err
	}
	if err := p.startPrimary(); err != nil { //nolint:contextcheck // it lives longer than the call
		return err
	}
	back := time.Now()
	if err := r.back(ctx); err != nil {
		return err
	}
	f["back_within_s"] = round(time.Since(back).Seconds(), 2)
	return stage.Pause(ctx, time.Second) // so that more is accepted
}

// back waits until the nodes that ran are ready, and the one that was started since is a member. It may have to wait for its share of the
// work, which others keep for a while.
func (r *clusterRow) back(ctx context.Context) error {
	for _, n := range r.Nodes[:clusterNodes] {
		if err := n.Ready(ctx); err != nil {
			return err
		}
	}
	return shows(ctx, r.Nodes[clusterNodes], func(c *adminv1.ShowClusterResponse) bool {
		return slices.ContainsFunc(c.GetNodes(), func(n *adminv1.ClusterNode) bool { return n.GetSelf() })
	})
}

// cutOff has the standby hear of nothing more.
func (p *replicated) cutOff(ctx context.Context) error {
	if err := execute(ctx, p.standby, `ALTER SYSTEM SET primary_conninfo = ''`, `SELECT pg_reload_conf()`); err != nil {
		return err
	}
	for {
		n, err := number(ctx, p.standby, `SELECT count(*) FROM pg_stat_wal_receiver`)
		if err != nil || n == 0 {
			return err
		}
		if err := stage.Pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// ordersSQL counts orders, batchesSQL adds up what all lanes have made, proofs that a server may be used included.
const (
	ordersSQL  = `SELECT count(*) FROM holdfast.orders`
	batchesSQL = `SELECT (SELECT sum(batch) FROM holdfast.lanes)::bigint + (SELECT count(*) FROM holdfast.lanes) +
		(SELECT count(*) FROM holdfast.orders) + (SELECT count(*) FROM holdfast.events)`
)

// lacks is how many orders the standby lacks.
func (p *replicated) lacks(ctx context.Context) (int64, error) {
	there, err := number(ctx, p.standby, ordersSQL) // first: the other one has more as time goes on, and is asked what it had
	if err != nil {
		return 0, err
	}
	all, err := number(ctx, p.primary, ordersSQL)
	return all - there, err
}

// acts is what was done so far: rows that were written to a server, and tasks that downstream systems have executed.
type acts struct{ written, dispatched int64 }

func (r *clusterRow) acted(ctx context.Context, server *pgserver.Server) (a acts, err error) {
	for _, log := range r.logs {
		text, err := os.ReadFile(log)
		if err != nil {
			return a, err
		}
		a.dispatched += int64(strings.Count(string(text), "\n"))
	}
	a.written, err = number(ctx, server, batchesSQL)
	return a, err
}

// refusal is how a node says that it does not use a server, and what can be done.
var refusal = regexp.MustCompile(`the database has lost commits .* lane \d+ of node\d/\S+ has made batch \d+, .*bring the right one back`)

// refusedWithin is how long nodes may take to find out.
const refusedWithin = 20 * time.Second

// refusals counts the nodes that refuse the server, and say why, such as which lane and batch it lacks: when they are asked whether they
// are ready, and in their logs.
func (r *clusterRow) refusals(ctx context.Context, text *regexp.Regexp) (count int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, refusedWithin, errNotRefused)
	defer cancel()
	for i, n := range r.Nodes {
		for {
			why := n.Unready(ctx)
			if why != nil && text.MatchString(why.Error()) {
				break
			}
			if err := stage.Pause(ctx, 100*time.Millisecond); err != nil {
				r.s.sayf("lagging: %s says: %v", nodeName(i), why)
				return count, nil
			}
		}
		log, err := os.ReadFile(r.log(i))
		if err != nil {
			return count, err
		}
		if text.Match(log) {
			count++
		}
	}
	return count, nil
}

var errNotRefused = errors.New("a node does not refuse the server")

// stuckNodes counts the nodes that say that they are not alive.
func (r *clusterRow) stuckNodes(ctx context.Context) (count int, err error) {
	for i, n := range r.Nodes {
		if err := n.Live(ctx); err != nil {
			r.s.sayf("lagging: %s is not alive: %v", nodeName(i), err)
			count++
		}
	}
	return count, ctx.Err()
}

// execute has a server execute statements.
func execute(ctx context.Context, server *pgserver.Server, statements ...string) error {
	conn, err := pgx.Connect(ctx, server.Address(postgresDatabase))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is under way
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// number asks a server for one.
func number(ctx context.Context, server *pgserver.Server, sql string) (n int64, err error) {
	conn, err := pgx.Connect(ctx, server.Address(postgresDatabase))
	if err != nil {
		return 0, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is under way
	if err := conn.QueryRow(ctx, sql).Scan(&n); err != nil {
		return 0, fmt.Errorf("%s: %w", sql, err)
	}
	return n, nil
}

func laggingBars(s *site) bars {
	if noCluster(s) {
		return bars{}
	}
	return bars{
		"unreplicated": atLeast(float64(laggingRate(s))), "refused_by": atLeast(clusterNodes + 1), "back_within_s": atMost(10),
		"acknowledged": atLeast(float64(laggingRate(s))),
		"to_be_lost":   atLeast(float64(laggingRate(s)) / 2), "refused_again_by": atLeast(clusterNodes + 1), "lanes_shown": atLeast(1),
		"goes_on_within_s": atMost(10), "outdated_refused_by": atLeast(clusterNodes + 1),
	}.none("written", "dispatched", "not_alive").none(laggingNone()...).
		none("wrongly_shown", "known_though_lost", "also_lost", "not_completed", "written_to_outdated")
}

// laggingNone must be nothing: what must be so with any cluster, but that nothing is accepted without a database.
func laggingNone() (all []string) {
	for _, name := range clusterNone {
		if name != "seconds_without_acceptance" {
			all = append(all, name)
		}
	}
	return all
}
