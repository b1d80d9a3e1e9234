package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

const (
	// fillers is how many clients fill the disk, each with an order at a time.
	fillers = 16
	// fillInput is the length of the input of their orders.
	fillInput = 64 << 10
	// fullFor is how long a client is refused before it takes the disk for full.
	fullFor = 2 * time.Second
	// refillAfter is how long it waits before it tries again.
	refillAfter = 100 * time.Millisecond
)

// disk is a small disk of which a node has only a part. Merging tables takes up to some 100 MiB of it for a while, however
// small the disk is: the mark must leave that.
type disk struct{ size, mark, ballast int64 }

func smallDisk(s *site) disk {
	if s.ci() {
		return disk{size: 448 << 20, mark: 192 << 20, ballast: 96 << 20}
	}
	return disk{size: 1 << 30, mark: 256 << 20, ballast: 256 << 20}
}

// noDisk says why no disk can be mounted; empty: one can.
var noDisk = sync.OnceValue(func() string { //nolint:gochecknoglobals // it does not change
	dir, err := os.MkdirTemp("", "verify-mount-")
	if err != nil {
		return "skipped: " + err.Error()
	}
	defer os.Remove(dir) //nolint:errcheck // it is empty, and below the folder for such things
	for _, args := range [][]string{{"mount", "-t", "tmpfs", "-o", "size=64k", "verify", dir}, {"umount", dir}} {
		out, err := exec.CommandContext(context.Background(), args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Sprintf("skipped: no disk can be mounted here: %v: %s", err, lastBytes(out))
		}
	}
	return ""
})

// mountDisk mounts a new disk of the given size, an ext4 in a file, or, where there are no loop devices, one in memory.
func mountDisk(ctx context.Context, s *site, dir string, size int64) (kind string, err error) {
	image := filepath.Join(s.dir, "disk.img")
	f, err := os.Create(image)
	if err != nil {
		return "", err
	}
	if err := errors.Join(f.Truncate(size), f.Close(), os.MkdirAll(dir, 0o750)); err != nil {
		return "", err
	}
	_, err = s.command(ctx, s.dir, nil, "mkfs.ext4", "-q", "-F", "-m", "0", image)
	if err == nil {
		_, err = s.command(ctx, s.dir, nil, "mount", "-o", "loop", image, dir)
	}
	if err == nil {
		return "ext4 on a loop device", nil
	}
	s.sayf("disk_full: no loop device, so a disk in memory is used: %v", err)
	_, err = s.command(ctx, s.dir, nil, "mount", "-t", "tmpfs", "-o", "size="+strconv.FormatInt(size, 10), "verify", dir)
	return "tmpfs", err
}

// diskFull has clients fill a small disk with orders, and gives it room again.
func diskFull(ctx context.Context, s *site) (f figures, err error) {
	if reason := noDisk(); reason != "" {
		return figures{"disk": reason, "skipped": 1}, nil
	}
	size := smallDisk(s)
	f = figures{"disk_bytes": size.size, "mark_bytes": size.mark}
	data := filepath.Join(s.dir, "data")
	if f["disk"], err = mountDisk(ctx, s, data, size.size); err != nil {
		return f, err
	}
	defer func() {
		_, unmountErr := s.command(context.WithoutCancel(ctx), s.dir, nil, "umount", data)
		err = errors.Join(err, unmountErr)
	}()
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop() // before the disk goes
	p, err := startFull(ctx, s, st, size)
	if err != nil {
		return f, why(ctx, err)
	}
	defer p.close()
	return f, why(ctx, p.run(ctx, f))
}

// filler fills a disk.
type filler struct {
	*site

	disk    disk
	node    *stage.Node
	conn    *client.Client
	admin   *client.Client
	orders  orderv1.OrderServiceClient
	ballast string

	mu       sync.Mutex
	accepted []*order
	refused  int
	wrong    int
	first    time.Time // the first refusal
	free     int64     // at that time
	least    atomic.Int64
}

func startFull(ctx context.Context, s *site, st *stage.Stage, size disk) (*filler, error) {
	p := &filler{site: s, disk: size, ballast: filepath.Join(s.dir, "data", "ballast")}
	var err error
	// Small tables in memory, as their logs are as long from the start.
	p.node, err = st.StartNode(ctx, s.holdfast, true, "--low-water", strconv.FormatInt(size.mark, 10), "--memtable", strconv.Itoa(8<<20))
	if err != nil {
		return nil, err
	}
	_, err = st.Start(ctx, stage.Spec{
		Name: players.Sleeper, Path: s.self,
		Args: []string{players.Sleeper, "-server", p.node.Server, "-log", s.dir + "/executions.jsonl"},
	})
	if err != nil {
		return nil, err
	}
	if err := p.node.Ready(ctx); err != nil {
		return nil, err
	}
	// Not before: a journal is made only where nothing else is.
	if err := writeBallast(p.ballast, size.ballast); err != nil {
		return nil, err
	}
	if p.conn, err = p.node.Dial(); err != nil {
		return nil, err
	}
	if p.admin, err = p.node.DialAdmin(); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the administration: %w", err), p.conn.Close())
	}
	p.orders = p.conn.Orders()
	for _, name := range []string{"disk", "unoffered"} {
		if err := deploy(ctx, p.conn, name); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

func (p *filler) close() {
	_ = p.conn.Close() // they fail only if they were closed before
	_ = p.admin.Close()
}

// writeBallast takes room, which removing the file gives back.
func writeBallast(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, zeros{}, size)
	return errors.Join(err, f.Sync(), f.Close())
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func (p *filler) run(ctx context.Context, f figures) error {
	waiting := &orderv1.WorkOrder{Id: string(messages.NewOrderID()), Definition: "verify/unoffered:1.0.0"}
	if _, err := p.orders.Submit(ctx, &orderv1.SubmitRequest{Order: waiting}); err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	watched, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { p.watch(watched) })
	defer watch.Wait()
	defer stop()
	if err := p.fill(ctx); err != nil {
		return err
	}
	running := 0
	for _, o := range p.accepted {
		if p.first.Sub(o.accepted) < activitiesEach*players.SleepTime {
			running++
		}
	}
	f["accepted"], f["refused"], f["wrong_refusals"] = len(p.accepted), p.refused, p.wrong
	f["free_at_refusal_bytes"], f["running_at_refusal"] = p.free, running
	failed := p.operate(ctx, waiting.GetId())
	if failed != nil {
		p.sayf("disk_full: %v", failed)
	}
	f["operations_failed"] = len(unjoin(failed))
	unended, err := p.end(ctx)
	if err != nil {
		return err
	}
	f["not_completed"] = unended
	resumed, err := p.resume(ctx)
	if err != nil {
		return err
	}
	f["resume_s"], f["least_free_bytes"] = round(resumed.Seconds(), 3), p.least.Load()
	f["node_starts"] = p.node.Starts()
	f["without_history"], err = p.histories(ctx)
	return err
}

// histories kills the node, and counts the orders that its next process has no history of.
func (p *filler) histories(ctx context.Context) (untold int, err error) {
	if _, err := p.node.Kill(ctx); err != nil {
		return 0, err
	}
	if err := p.node.Ready(ctx); err != nil {
		return 0, err
	}
	conn, err := p.node.Dial() // the other one may not have seen the end of the killed process yet
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	return writeHistories(ctx, conn, idsOf(p.accepted), p.dir+"/histories.jsonl")
}

// watch notes how little room there ever was.
func (p *filler) watch(ctx context.Context) {
	p.least.Store(p.disk.size)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if free, err := stage.Free(p.node.Data); err == nil && free < p.least.Load() {
			p.least.Store(free)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// fill submits orders until all clients have been refused for a while.
func (p *filler) fill(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var clients sync.WaitGroup
	for i := range fillers {
		chance := rand.New(rand.NewPCG(p.seed, uint64(i)))
		clients.Go(func() {
			if err := p.client(ctx, chance); err != nil {
				cancel(err)
			}
		})
	}
	clients.Wait()
	return context.Cause(ctx)
}

func (p *filler) client(ctx context.Context, chance *rand.Rand) error {
	again := time.NewTicker(refillAfter)
	defer again.Stop()
	var since time.Time
	for since.IsZero() || time.Since(since) < fullFor {
		o, err := p.submit(ctx, chance)
		switch {
		case err == nil:
			since = time.Time{}
			p.mu.Lock()
			p.accepted = append(p.accepted, o)
			p.mu.Unlock()
			continue
		case status.Code(err) != codes.ResourceExhausted:
			return fmt.Errorf("submit: %w", err)
		case since.IsZero():
			since = time.Now()
		}
		if err := p.refuse(err); err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (p *filler) submit(ctx context.Context, chance *rand.Rand) (*order, error) {
	o := &order{id: messages.NewOrderID()}
	o.request = &orderv1.WorkOrder{Id: string(o.id), Definition: "verify/disk:1.0.0", Input: noise(chance, fillInput)}
	_, err := p.orders.Submit(ctx, &orderv1.SubmitRequest{Order: o.request})
	o.accepted, o.request.Input = time.Now(), nil // thousands of them would take as much memory as disk
	return o, err
}

// refuse counts a refusal.
func (p *filler) refuse(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused++
	if p.first.IsZero() {
		p.first = time.Now()
		var freeErr error
		if p.free, freeErr = stage.Free(p.node.Data); freeErr != nil {
			return freeErr
		}
	}
	if wrong := refusedFull(err, p.disk.mark); wrong != nil {
		p.wrong++
		p.sayf("disk_full: %v", wrong)
	}
	return nil
}

// refusedFull checks the refusal of an order for which there is no room: the reason, the limit and its value, and when to try
// again.
func refusedFull(err error, mark int64) error {
	if wrong := refused(err, codes.ResourceExhausted); wrong != nil {
		return wrong
	}
	reason, retry := reasonOf(err)
	text := status.Convert(err).Message()
	told := strings.Contains(text, "low-water mark") && strings.Contains(text, strconv.FormatInt(mark, 10))
	if reason != "STORE_FULL" || retry <= 0 || !told {
		return fmt.Errorf("refused for %q, to be tried again after %v: %.300s", reason, retry, text)
	}
	return nil
}

// operate reads, and does what operators do, while the disk is full. Its error joins what failed.
func (p *filler) operate(ctx context.Context, waiting string) error {
	var errs []error
	try := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("with a full disk: %s: %w", what, err))
		}
	}
	for listener, conn := range map[string]*client.Client{"API": p.conn, "administration": p.admin} {
		orders := conn.Orders()
		_, err := orders.Get(ctx, &orderv1.GetRequest{Id: waiting})
		try("get an order from the "+listener, err)
		_, err = orders.History(ctx, &orderv1.HistoryRequest{Id: string(p.accepted[0].id)})
		try("read a history from the "+listener, err)
		_, err = orders.List(ctx, &orderv1.ListRequest{})
		try("list orders from the "+listener, err)
	}
	try("deploy a definition", deploy(ctx, p.admin, "good"))
	_, err := p.admin.Orders().Cancel(ctx, &orderv1.CancelRequest{Id: waiting, Reason: "the disk is full"})
	try("cancel an order", err)
	try("ask for readiness", p.node.Ready(ctx))
	return errors.Join(errs...)
}

func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return nil
}

// end waits until all accepted orders have ended, and counts those that did not complete.
func (p *filler) end(ctx context.Context) (unended int, err error) {
	again := time.NewTicker(refillAfter)
	defer again.Stop()
	deadline := time.Now().Add(stallAfter)
	for _, o := range p.accepted {
		for {
			got, err := p.orders.Get(ctx, &orderv1.GetRequest{Id: string(o.id)})
			if err != nil {
				return 0, fmt.Errorf("get order %s: %w", o.id, err)
			}
			now := got.GetOrder().GetStatus()
			if now == orderv1.Status_STATUS_COMPLETED {
				break
			}
			if now == orderv1.Status_STATUS_FAULTED || time.Now().After(deadline) {
				unended++
				break
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
		}
	}
	return unended, nil
}

// resume gives the disk room, and tells how long it takes until an order is accepted.
func (p *filler) resume(ctx context.Context) (time.Duration, error) {
	if err := os.Remove(p.ballast); err != nil {
		return 0, fmt.Errorf("make room: %w", err)
	}
	began := time.Now()
	again := time.NewTicker(refillAfter)
	defer again.Stop()
	chance := p.chance()
	for {
		o, err := p.submit(ctx, chance)
		if err == nil {
			p.accepted = append(p.accepted, o)
			return time.Since(began), nil
		}
		if status.Code(err) != codes.ResourceExhausted || time.Since(began) > stallAfter {
			return 0, fmt.Errorf("submit after there was room: %w", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

func diskFullBars(s *site) bars {
	if noDisk() != "" {
		return bars{"skipped": atLeast(1)}
	}
	mark := float64(smallDisk(s).mark)
	return bars{
		"accepted": atLeast(500), "refused": atLeast(fillers), "running_at_refusal": atLeast(1), "node_starts": atMost(1),
		"free_at_refusal_bytes": atLeast(mark / 2), "least_free_bytes": atLeast(mark / 8), "resume_s": s.within(2),
	}.none("wrong_refusals", "operations_failed", "not_completed", "without_history")
}
