package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

// corruptionWorkers is how many flips are tried at the same time, each in a copy of its own.
const corruptionWorkers = 2

// corruptionOrders is how many orders end before the one store is left, and again before the other; as many stay open there.
const corruptionOrders = 200

// flipCount is how many bytes are flipped in each of the two stores.
func flipCount(s *site) int {
	if s.ci() {
		return 20
	}
	return 500
}

// corruption makes two stores by real orders, one of a node that was stopped and one of a node that was killed with orders
// in flight, and flips a byte at a time in copies of them. Then it damages the logs of stores in other states.
func corruption(ctx context.Context, s *site) (figures, error) {
	f := figures{"flips": 0, "log_changes": 0, "log_refused": 0, "identical": 0, "refused": 0, "unnamed": 0, "wrong": 0}
	for _, name := range []string{"stopped", "killed"} {
		if err := fillJournal(ctx, s, name == "killed"); err != nil {
			return f, fmt.Errorf("make the store: %w", err)
		}
		tally, err := spoilJournal(ctx, s, name, f, func(journal string) ([]change, error) {
			flips, kinds, err := chooseFlips(s.chance(), journal, flipCount(s))
			f[name+"_flips"] = kinds
			return flips, err
		})
		f.add("flips", tally.all())
		if err != nil {
			return f, err
		}
	}
	return f, damageLogs(ctx, s, f)
}

// fillJournal runs orders. Then the node is stopped; or as many orders more are accepted, which stay open, and it is killed when
// it has come to rest: a store can't tell damage to what was written just before a kill from a write that was cut short.
// Another call adds to the same store.
func fillJournal(ctx context.Context, s *site, kill bool) error {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	// Small tables in memory make for many files.
	node, err := st.StartNode(ctx, s.holdfast, false, "--memtable", strconv.Itoa(1<<20))
	if err != nil {
		return err
	}
	_, err = st.Start(ctx, stage.Spec{
		Name: players.Sleeper, Path: s.self,
		Args: []string{players.Sleeper, "-server", node.Server, "-log", s.dir + "/executions.jsonl"},
	})
	if err != nil {
		return err
	}
	if err := node.Ready(ctx); err != nil {
		return err
	}
	conn, err := prepared(ctx, node, "restart", "unoffered")
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	const n = corruptionOrders
	if err := sailJournal(ctx, s, conn, "verify/restart:1.0.0", n, func(c counts) bool { return c.ended == n }); err != nil || !kill {
		return why(ctx, err)
	}
	if err := sailJournal(ctx, s, conn, "verify/unoffered:1.0.0", n, func(c counts) bool { return c.accepted == n }); err != nil {
		return why(ctx, err)
	}
	if err := atRest(ctx, node); err != nil {
		return err
	}
	_, err = node.Kill(ctx)
	return err
}

// sailJournal submits n orders, and waits for enough.
func sailJournal(ctx context.Context, s *site, conn *client.Client, definition string, n int, enough func(counts) bool) error {
	chance := s.chance()
	client := newFleet(func(n int) *orderv1.WorkOrder {
		return &orderv1.WorkOrder{
			Definition: definition, Input: noise(chance, 1000), OrderKey: fmt.Sprint("key-", n/2),
			Labels: map[string]string{"n": fmt.Sprint(n % 10)},
		}
	})
	client.finish() // an end makes no new order
	ctx, sink := context.WithCancelCause(ctx)
	var fleet sync.WaitGroup
	fleet.Go(func() { sink(client.run(ctx, conn, n)) })
	err := client.await(ctx, enough)
	sink(nil)
	fleet.Wait()
	if enough(client.counts()) {
		return nil
	}
	return err
}

// noise makes a JSON string of so many bytes, which don't get much smaller by being compressed.
func noise(chance *rand.Rand, n int) []byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[chance.IntN(len(letters))]
	}
	b[0], b[n-1] = '"', '"'
	return b
}

// restFor is how long a node at rest is told no news. It notes how far its log is durable sooner.
const restFor = time.Second

// atRest waits until the node writes nothing any more.
func atRest(ctx context.Context, node *stage.Node) error {
	tick := time.NewTicker(restFor)
	defer tick.Stop()
	for before := -1.0; ; {
		m, err := node.Metrics(ctx)
		if err != nil {
			return err
		}
		now, err := m.Value("holdfast_commit_batch_count")
		if err != nil || now == before {
			return err
		}
		before = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// verified is what holdfast journal verify prints, as far as it matters here.
type verified struct {
	Orders      int64     `json:"orders"`
	Open        int64     `json:"open"`
	Records     int64     `json:"records"`
	Events      int64     `json:"events"`
	Definitions int64     `json:"definitions"`
	Digest      string    `json:"digest"`
	Problems    []problem `json:"problems"`
}

type problem struct {
	File string `json:"file"`
	What string `json:"what"`
}

// examineJournal has the journal of a data folder verified. failed is why it was refused.
func examineJournal(ctx context.Context, s *site, data string) (v verified, failed, err error) {
	out, failed := s.command(ctx, data, nil, s.holdfast, "journal", "verify", "--data", data, "-o", "json")
	var exit *exec.ExitError
	if failed != nil && (!errors.As(failed, &exit) || ctx.Err() != nil) {
		return v, nil, failed
	}
	if len(out) > 0 {
		if err := json.Unmarshal(out, &v); err != nil {
			return v, failed, fmt.Errorf("what journal verify prints: %w", err)
		}
	}
	return v, failed, nil
}

// spoilJournal copies the store, and changes the copies in the ways that are chosen, one at a time. It counts the verdicts, which are
// names of figures too.
func spoilJournal(ctx context.Context, s *site, name string, f figures, choose func(journal string) ([]change, error)) (verdicts, error) {
	var copies []string
	for i := range corruptionWorkers {
		data := filepath.Join(s.dir, fmt.Sprint(name, "-", i))
		if err := os.CopyFS(data, os.DirFS(filepath.Join(s.dir, "data"))); err != nil {
			return nil, fmt.Errorf("copy the store: %w", err)
		}
		copies = append(copies, data)
	}
	want, failed, err := examineJournal(ctx, s, copies[0])
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("before any damage: %w", err)
	}
	f[name+"_orders"], f[name+"_open"], f[name+"_events"] = want.Orders, want.Open, want.Events
	changes, err := choose(filepath.Join(copies[0], "journal"))
	if err != nil {
		return nil, err
	}
	var workers sync.WaitGroup
	var mu sync.Mutex
	tally := verdicts{}
	for i, data := range copies {
		workers.Go(func() {
			for at := i; at < len(changes); at += len(copies) {
				verdict, oneErr := tryChange(ctx, s, data, changes[at], want)
				mu.Lock()
				if oneErr != nil {
					err = errors.Join(err, oneErr)
					mu.Unlock()
					return
				}
				tally[verdict]++
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	for verdict, n := range tally {
		f.add(verdict, n)
	}
	if err != nil {
		return tally, err
	}
	// Nothing but the changes changed the store, and they were undone.
	after, failed, err := examineJournal(ctx, s, copies[0])
	if err = errors.Join(err, failed); err == nil && !after.equals(want) {
		err = fmt.Errorf("verifying the %s store changed it", name)
	}
	return tally, err
}

// verdicts counts what became of changes.
type verdicts map[string]int

func (v verdicts) all() (n int) {
	for _, one := range v {
		n += one
	}
	return n
}

// add adds to a figure that counts.
func (f figures) add(name string, n int) {
	before, _ := f[name].(int)
	f[name] = before + n
}

func (v verified) equals(o verified) bool {
	return v.Digest == o.Digest && v.Orders == o.Orders && v.Open == o.Open && v.Records == o.Records && v.Events == o.Events &&
		v.Definitions == o.Definitions
}

func corruptionBars(s *site) bars {
	// Each kind of file is damaged often enough that some of the damage must be found.
	// What a log has is needed, but for the little that fills its blocks.
	return bars{
		"flips": atLeast(float64(2 * flipCount(s))), "refused": atLeast(float64(flipCount(s)) / 2), "identical": atLeast(1),
		"log_changes": atLeast(float64(3 * logChanges(s))), "log_refused": atLeast(float64(3*logChanges(s)) * 0.9),
	}.none("wrong", "unnamed")
}
