package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// cutNoticed is how long after its database has fallen silent a node may take itself for ready: until a batch has had no answer, and
	// no other server was found.
	cutNoticed = 4 * time.Second
	// promotedAfter is how long the primary is silent until its standby is promoted.
	promotedAfter = 3 * time.Second
	// loadedFor is how long orders come and end before something is done to the database.
	loadedFor = time.Second
	// resumesWithin is how long nodes may take to go on once there is a database, in seconds.
	resumesWithin = 5
)

// databaseGone is how long the database is silent.
func databaseGone(s *site) time.Duration {
	if s.ci() {
		return 5 * time.Second
	}
	return 30 * time.Second
}

// lostAnswers is how many answers to batches get lost.
func lostAnswers(s *site) int {
	if s.ci() {
		return 20
	}
	return 200
}

// databaseCutRate is how many orders come in a second. While there is no database, all of them are tried again and again.
func databaseCutRate(s *site) int {
	if s.ci() {
		return 100
	}
	return 300
}

// databaseCut takes the database away from all nodes, restarts it, has its standby promoted, and loses answers to what it has made, under
// load.
func databaseCut(ctx context.Context, s *site) (f figures, err error) {
	if noCluster(s) {
		return withoutCluster(), nil
	}
	var d *replicas
	return withOwnCluster(ctx, s, func(c *cluster, spec *stage.ClusterSpec) error {
		if d, err = replicate(ctx, c.database); err != nil {
			return err
		}
		c.atEnd, spec.Journal = append(c.atEnd, d.stop), d.address()
		return nil
	}, withSystems(func(ctx context.Context, r *clusterRow) (figures, error) {
		x := &cutRow{clusterRow: r, replicas: d, figures: figures{}, healed: map[string]time.Time{}}
		r.patience += databaseGone(s)
		if err := r.during(ctx, databaseCutRate(s), x.figures, x.run); err != nil {
			return x.figures, err
		}
		return x.figures, x.completions()
	}))
}

// cutRow is the row under way.
type cutRow struct {
	*clusterRow
	*replicas

	figures figures
	pulse   *pulse
	// healed is when there was a database again, by what was done to it.
	healed map[string]time.Time
	// looks counts how often a node was looked at while there was no database, dead how often it was not alive, and ready how often it said
	// that it is ready, when it must have noticed.
	looks, dead, ready int
	// noticed is after how long a node last said that it is ready.
	noticed time.Duration
}

func (x *cutRow) run(ctx context.Context, p *pulse) error {
	x.pulse = p
	if err := x.settled(ctx); err != nil {
		return err
	}
	unknown := 0
	for _, part := range []func(context.Context) error{
		func(ctx context.Context) error { return x.resumes(ctx, "cut", x.cut) },
		func(ctx context.Context) error { return x.resumes(ctx, "restarted", x.restart) },
		func(ctx context.Context) error { return x.loseAnswers(ctx, x.beforePrimary, &unknown) },
		func(ctx context.Context) error { return x.resumes(ctx, "promoted", x.replace) },
		// The primary of before goes on, takes writes, and is the first that each connection is tried to.
		func(context.Context) error { return x.primary.Resume() },
		func(ctx context.Context) error { return x.loseAnswers(ctx, x.beforeStandby, &unknown) },
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	f := x.figures
	f["looks"], f["not_alive"], f["ready_meanwhile"] = x.looks, x.dead, x.ready
	f["unready_after_s"] = round(x.noticed.Seconds(), 2)
	f["answers_lost"], f["unknown_outcomes"], f["node_starts"] = lostAnswers(x.s), unknown, x.restarts()
	var err error
	if f["old_primary_refused"], err = x.logged("msg=\"journal: a server is not used\""); err != nil {
		return err
	}
	f["fences"], err = x.logged("msg=\"takes over\"")
	return err
}

// cut has the database be silent for a while.
func (x *cutRow) cut(ctx context.Context) error {
	return x.silent(ctx, databaseGone(x.s), x.primary.Resume)
}

// restart has the database crash, and start again.
func (x *cutRow) restart(context.Context) error {
	x.primary.Kill()
	return x.startPrimary() //nolint:contextcheck // it lives longer than the call
}

// replace has the standby become the primary while the primary of before hangs.
func (x *cutRow) replace(ctx context.Context) error {
	return x.silent(ctx, promotedAfter, func() error { return promote(ctx, x.standby) })
}

// silent has the primary stand still, looks at the nodes for a while, and then has there be a database again.
func (x *cutRow) silent(ctx context.Context, d time.Duration, again func() error) error {
	if err := x.primary.Pause(); err != nil {
		return err
	}
	err := x.look(ctx, d)
	if err == nil {
		err = again()
	}
	if err != nil {
		err = errors.Join(err, x.primary.Resume())
	}
	return err
}

// look looks at the nodes, again and again.
func (x *cutRow) look(ctx context.Context, d time.Duration) error {
	for began := time.Now(); time.Since(began) < d; {
		for i, n := range x.Nodes {
			x.looks++
			if err := n.Live(ctx); err != nil {
				x.dead++
				x.s.sayf("db_cut: %s after %v: %v", nodeName(i), time.Since(began), err)
			}
			since := time.Since(began)
			if !n.IsReady(ctx) {
				continue
			}
			x.noticed = max(x.noticed, since)
			if since > cutNoticed {
				x.ready++
				x.s.sayf("db_cut: %s is ready after %v", nodeName(i), since)
			}
		}
		if err := stage.Pause(ctx, lookEvery); err != nil {
			return err
		}
	}
	return nil
}

// resumes does something to the database under load, and tells how long it took after that until an order was accepted, and until all nodes
// were ready.
func (x *cutRow) resumes(ctx context.Context, name string, fault func(context.Context) error) error {
	if err := x.acceptedSince(ctx, time.Now()); err != nil {
		return err
	}
	if err := stage.Pause(ctx, loadedFor); err != nil {
		return err
	}
	if err := fault(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	healed := time.Now()
	x.healed[name] = healed
	if err := x.acceptedSince(ctx, healed); err != nil {
		return err
	}
	x.figures[name+"_accepts_s"] = afterwards(time.Since(healed))
	for _, n := range x.Nodes {
		if err := n.Ready(ctx); err != nil {
			return err
		}
	}
	x.figures[name+"_ready_s"] = afterwards(time.Since(healed))
	return nil
}

// afterwards is a time as a figure: a millisecond at least, as 0 would mean that nothing was measured.
func afterwards(d time.Duration) float64 { return round(max(d, time.Millisecond).Seconds(), 3) }

// completions tells, by the histories, how long it took after each time that there was a database again until an order completed.
func (x *cutRow) completions() error {
	f, err := os.Open(x.s.dir + "/histories.jsonl")
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is only read
	first := map[string]time.Time{}
	for events := json.NewDecoder(bufio.NewReaderSize(f, 1<<20)); events.More(); {
		var event struct {
			At   time.Time `json:"at"`
			Type string    `json:"type"`
		}
		if err := events.Decode(&event); err != nil {
			return fmt.Errorf("read the histories: %w", err)
		}
		if event.Type != "order.completed" {
			continue
		}
		for name, healed := range x.healed {
			if at, is := first[name]; !event.At.Before(healed) && (!is || event.At.Before(at)) {
				first[name] = event.At
			}
		}
	}
	for name, at := range first {
		x.figures[name+"_completes_s"] = afterwards(at.Sub(x.healed[name]))
	}
	return nil
}

// acceptedSince waits until an order is accepted, from some time on.
func (x *cutRow) acceptedSince(ctx context.Context, at time.Time) error {
	for !x.pulse.acceptedSince(at) {
		if err := stage.Pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("wait until an order is accepted: %w", err)
		}
	}
	return nil
}

// acceptedSince tells whether an order was accepted from some time on.
func (p *pulse) acceptedSince(at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.orders, func(o *order) bool { return !o.accepted.Before(at) })
}

// loseAnswers loses half of the answers that get lost, one at a time, and counts the batches whose outcome nodes did not know.
func (x *cutRow) loseAnswers(ctx context.Context, server *lossy, unknown *int) error {
	const text = "unknown_outcome=true"
	before, err := x.logged(text)
	if err != nil {
		return err
	}
	for range lostAnswers(x.s) / 2 {
		if err := server.lose(ctx); err != nil {
			return err
		}
		if err := x.acceptedSince(ctx, time.Now()); err != nil {
			return err
		}
	}
	after, err := x.logged(text)
	*unknown += after - before
	return err
}

func databaseCutBars(s *site) bars {
	if noCluster(s) {
		return bars{}
	}
	b := bars{
		"looks": atLeast(2 * clusterNodes * databaseGone(s).Seconds()), "unknown_outcomes": atLeast(float64(lostAnswers(s)) / 2),
		"old_primary_refused": atLeast(1), "acknowledged": atLeast(float64(databaseCutRate(s))),
	}.none(clusterNone...).none("not_alive", "ready_meanwhile", "node_starts", "fences")
	delete(b, "seconds_without_acceptance") // without a database nothing is accepted
	for _, name := range []string{"cut", "restarted", "promoted"} {
		for _, what := range []string{"_accepts_s", "_completes_s", "_ready_s"} {
			b[name+what] = atMost(resumesWithin)
		}
	}
	return b
}
