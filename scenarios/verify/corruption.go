package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// corruptionWorkers is how many flips are tried at the same time, each in a copy of its own.
const corruptionWorkers = 2

// corruptionOrders is how many orders end before the one store is left, and again before the other; as many stay open there.
const corruptionOrders = 200

// flips is how many bytes are flipped in each of the two stores.
func (s *site) flips() int {
	if s.ci() {
		return 50
	}
	return 500
}

// corruption makes two stores by real orders, one of a node that was stopped and one of a node that was killed with orders
// in flight, and flips a byte at a time in copies of them.
func corruption(ctx context.Context, s *site) (figures, error) {
	f := figures{"flips": 0, "identical": 0, "refused": 0, "unnamed": 0, "wrong": 0}
	for _, name := range []string{"stopped", "killed"} {
		if err := s.fill(ctx, name == "killed"); err != nil {
			return f, fmt.Errorf("make the store: %w", err)
		}
		if err := s.spoil(ctx, f, name); err != nil {
			return f, err
		}
	}
	return f, nil
}

// fill runs orders. Then the node is stopped; or as many orders more are accepted, which stay open, and it is killed when
// it has come to rest: a store can't tell damage to the very last write before a kill from a write that was cut short.
// Another call adds to the same store.
func (s *site) fill(ctx context.Context, kill bool) error {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	// Small tables in memory make for many files.
	node, err := st.StartNode(ctx, s.holdfast, false, "--memtable", strconv.Itoa(1<<20))
	if err != nil {
		return err
	}
	_, err = st.Start(ctx, stage.Spec{
		Name: sleeperCommand, Path: s.self,
		Args: []string{sleeperCommand, "-server", node.Server, "-log", s.dir + "/executions.jsonl"},
	})
	if err != nil {
		return err
	}
	if err := node.Ready(ctx); err != nil {
		return err
	}
	conn, err := node.Dial()
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	for _, name := range []string{"restart", "unoffered"} {
		if err := deploy(ctx, conn, name); err != nil {
			return why(ctx, err)
		}
	}
	const n = corruptionOrders
	if err := s.sail(ctx, conn, "verify/restart:1.0.0", n, func(c counts) bool { return c.ended == n }); err != nil || !kill {
		return why(ctx, err)
	}
	if err := s.sail(ctx, conn, "verify/unoffered:1.0.0", n, func(c counts) bool { return c.accepted == n }); err != nil {
		return why(ctx, err)
	}
	if err := atRest(ctx, node); err != nil {
		return err
	}
	_, err = node.Kill(ctx)
	return err
}

// sail submits n orders, and waits for enough.
func (s *site) sail(ctx context.Context, conn *grpc.ClientConn, definition string, n int, enough func(counts) bool) error {
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

// restFor is how long a node at rest writes nothing. It marks what it wrote last sooner.
const restFor = 300 * time.Millisecond

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

// examine has the journal of a data folder verified. failed is why it was refused.
func (s *site) examine(ctx context.Context, data string) (v verified, failed, err error) {
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

// flip is a bit of a file that is turned over.
type flip struct {
	file   string
	offset int64
	bit    byte
}

// spoil copies the store, and flips bytes.
func (s *site) spoil(ctx context.Context, f figures, name string) error {
	var copies []string
	for i := range corruptionWorkers {
		data := filepath.Join(s.dir, fmt.Sprint(name, "-", i))
		if err := os.CopyFS(data, os.DirFS(filepath.Join(s.dir, "data"))); err != nil {
			return fmt.Errorf("copy the store: %w", err)
		}
		copies = append(copies, data)
	}
	want, failed, err := s.examine(ctx, copies[0])
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("before any damage: %w", err)
	}
	f[name+"_orders"], f[name+"_open"], f[name+"_events"] = want.Orders, want.Open, want.Events
	flips, kinds, err := chooseFlips(s.chance(), filepath.Join(copies[0], "journal"), s.flips())
	if err != nil {
		return err
	}
	f[name+"_flips"] = kinds
	var workers sync.WaitGroup
	var mu sync.Mutex
	for i, data := range copies {
		workers.Go(func() {
			for at := i; at < len(flips); at += len(copies) {
				verdict, oneErr := s.flip(ctx, data, flips[at], want)
				mu.Lock()
				if oneErr != nil {
					err = errors.Join(err, oneErr)
					mu.Unlock()
					return
				}
				for _, figure := range []string{"flips", verdict} {
					n, _ := f[figure].(int)
					f[figure] = n + 1
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	if err != nil {
		return err
	}
	// Nothing but the flips changed the store, and they were undone.
	after, failed, err := s.examine(ctx, copies[0])
	if err = errors.Join(err, failed); err == nil && !after.equals(want) {
		err = fmt.Errorf("verifying the %s store changed it", name)
	}
	return err
}

func (v verified) equals(o verified) bool {
	return v.Digest == o.Digest && v.Orders == o.Orders && v.Open == o.Open && v.Records == o.Records && v.Events == o.Events &&
		v.Definitions == o.Definitions
}

// chooseFlips chooses bytes of a journal: half of them anywhere, so that large files get most, and half so that each kind
// of file gets as many. It counts them by the kind of file.
func chooseFlips(chance *rand.Rand, journal string, n int) ([]flip, map[string]int, error) {
	entries, err := os.ReadDir(journal)
	if err != nil {
		return nil, nil, fmt.Errorf("list the store: %w", err)
	}
	type file struct {
		name   string
		length int64
	}
	var all int64
	var files []file
	var kinds []string
	byKind := map[string][]file{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(journal, e.Name()))
		if err != nil {
			return nil, nil, err
		}
		// A log has its whole length from the start; what is behind its end is hardly looked at.
		length := int64(min(len(b), len(bytes.TrimRight(b, "\x00"))+64))
		if len(b) == 0 {
			continue
		}
		kind := strings.Trim(e.Name(), "-.0123456789")
		if byKind[kind] == nil {
			kinds = append(kinds, kind)
		}
		byKind[kind] = append(byKind[kind], file{e.Name(), length})
		files = append(files, file{e.Name(), length})
		all += length
	}
	var flips []flip
	counted := map[string]int{}
	for i := range n {
		chosen, at := files[0], chance.Int64N(all)
		if i%2 == 0 {
			of := byKind[kinds[i/2%len(kinds)]]
			chosen = of[chance.IntN(len(of))]
			at = chance.Int64N(chosen.length)
		} else {
			for _, chosen = range files {
				if at < chosen.length {
					break
				}
				at -= chosen.length
			}
		}
		counted[strings.Trim(chosen.name, "-.0123456789")]++
		flips = append(flips, flip{chosen.name, at, 1 << chance.IntN(8)})
	}
	return flips, counted, nil
}

// flip flips a bit, has the journal verified, and flips it back. The verdict is the name of a figure.
func (s *site) flip(ctx context.Context, data string, at flip, want verified) (verdict string, err error) {
	file, err := os.OpenFile(filepath.Join(data, "journal", at.file), os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // what was written was checked
	turn := func() error {
		b := make([]byte, 1)
		_, err := file.ReadAt(b, at.offset)
		if err == nil {
			b[0] ^= at.bit
			_, err = file.WriteAt(b, at.offset)
		}
		if err != nil {
			return fmt.Errorf("flip: %w", err)
		}
		return nil
	}
	if err := turn(); err != nil {
		return "", err
	}
	got, failed, err := s.examine(ctx, data)
	if err = errors.Join(err, turn()); err != nil {
		return "", err
	}
	verdict = got.judge(failed, at, want)
	if verdict == "wrong" || verdict == "unnamed" {
		text := "it says that nothing is wrong"
		if failed != nil {
			text = failed.Error()
		}
		s.sayf("corruption: %s: bit %#x of %s at offset %d: %s: %.500v", verdict, at.bit, at.file, at.offset, text, got.Problems)
	}
	return verdict, nil
}

// judge tells whether a store that was damaged was found to be what it was, or was refused, with the file and a place in it
// that is not behind the damage.
func (v verified) judge(failed error, at flip, want verified) string {
	if failed == nil {
		if v.equals(want) {
			return "identical"
		}
		return "wrong"
	}
	if exit := (*exec.ExitError)(nil); errors.As(failed, &exit) && exit.ExitCode() != 1 {
		return "wrong" // it broke down
	}
	texts := []string{failed.Error()}
	for _, p := range v.Problems {
		if p.File == at.file {
			texts = append(texts, p.What)
		}
	}
	for _, text := range texts {
		_, offset, found := strings.Cut(text, at.file+" at offset ")
		digits := strings.IndexFunc(offset, func(r rune) bool { return r < '0' || r > '9' })
		if n, err := strconv.ParseInt(offset[:max(digits, 0)], 10, 64); found && err == nil && n <= at.offset {
			return "refused"
		}
	}
	return "unnamed"
}

func corruptionBars(s *site) bars {
	// Each kind of file is damaged often enough that some of the damage must be found.
	return bars{"flips": atLeast(float64(2 * s.flips())), "refused": atLeast(float64(s.flips()) / 2), "identical": atLeast(1)}.
		none("wrong", "unnamed")
}
