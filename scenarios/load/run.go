package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// Run measures. It fails if the processes can't be started or one of them ends, if nothing is answered for half a minute,
// or if too many orders fail.
func Run(ctx context.Context, c Config) (*Result, error) {
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	dir, filesystem, err := newFolder(c.Dir)
	if err != nil {
		return nil, err
	}
	if !c.Keep {
		defer os.RemoveAll(dir) //nolint:errcheck // what can't be removed is there to be seen
	}
	ctx, st := stage.New(ctx, dir)
	defer st.Stop()
	b := &bench{Config: c, result: &Result{
		Workload: c.Workload, InFlight: c.InFlight, Submit: c.Submit, DataDir: dir, Filesystem: filesystem,
	}}
	if b.script, err = c.script(); err != nil {
		return nil, err
	}
	if err := b.start(ctx, st); err != nil {
		return nil, why(ctx, err)
	}
	defer b.close()
	if err := b.measure(ctx); err != nil {
		return nil, why(ctx, err)
	}
	return b.result, nil
}

// reasonAfter is how long the reason for a failure is awaited.
const reasonAfter = 2 * time.Second

// why prefers the reason for which a context ended to what failed with it. If a process has ended, its connections break
// a moment before the stage tells why.
func why(ctx context.Context, err error) error {
	if status.Code(err) == codes.Unavailable || status.Code(err) == codes.Canceled {
		moment := time.NewTimer(reasonAfter)
		defer moment.Stop()
		select {
		case <-ctx.Done():
		case <-moment.C:
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func newFolder(parent string) (dir, filesystem string, err error) {
	if dir, err = os.MkdirTemp(parent, "holdfast-bench-"); err != nil {
		return "", "", fmt.Errorf("make a folder: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", "", fmt.Errorf("make a folder: %w", err)
	}
	filesystem, memory, err := stage.Filesystem(dir)
	if err == nil && memory {
		err = fmt.Errorf("%s is on a %s, which is memory: nothing there is durable, so measuring means nothing; "+
			"run from a folder on a disk", parent, filesystem)
	}
	if err != nil {
		return "", "", errors.Join(err, os.Remove(dir))
	}
	return dir, filesystem, nil
}

// bench is a run.
type bench struct {
	Config

	script  script
	result  *Result
	nodes   []*stage.Node
	adapter *stage.Process
	conns   []*client.Client
	// secured are the files by which the client and the adapter are known; nil: nobody is.
	secured *secured
}

// startTimeout bounds the start of the processes, and the trial.
const startTimeout = time.Minute

// start starts the processes, and returns once an order has gone all the way.
func (b *bench) start(whole context.Context, st *stage.Stage) (err error) {
	ctx, cancel := context.WithTimeoutCause(whole, startTimeout, fmt.Errorf("the processes were not ready within %v", startTimeout))
	defer cancel()
	if b.nodes = b.Nodes; len(b.nodes) == 0 {
		if err := b.startNode(whole, st); err != nil {
			return err
		}
	}
	var servers []string
	for _, n := range b.nodes {
		if err := n.Ready(ctx); err != nil {
			return err
		}
		servers = append(servers, n.Server)
	}
	b.adapter, err = st.Start(whole, stage.Spec{
		Name: "adapter", Path: b.Holdfast, Args: []string{"adapter", "bench", "--server", strings.Join(servers, ",")}, Env: b.secured.env(),
	})
	if err != nil {
		return err
	}
	for range unaryConns {
		conn, err := client.New(client.Config{
			Addresses: servers, TLS: b.secured.tls(), Patience: -1, CallTimeout: -1,
		})
		if err != nil {
			return fmt.Errorf("connect to %s: %w", strings.Join(servers, ", "), err)
		}
		b.conns = append(b.conns, conn)
	}
	_, err = b.conns[0].Definitions().Deploy(ctx,
		&definitionv1.DeployRequest{Document: b.script.document}, grpc.WaitForReady(true))
	if err != nil {
		return why(ctx, fmt.Errorf("deploy %s: %w", b.script.definition, err))
	}
	if b.Workload == Timers {
		return nil // its trial would take as long as the run
	}
	trial := b.script
	trial.wait = orderv1.Wait_WAIT_ENDED
	answer, err := b.conns[0].Orders().Submit(ctx, trial.request(string(messages.NewOrderID())))
	if err != nil {
		return why(ctx, fmt.Errorf("submit a trial order: %w", err))
	}
	o := answer.GetOrder()
	return trial.judge(o.GetId(), o.GetStatus(), o.GetOutput(), o.GetError())
}

func (b *bench) startNode(ctx context.Context, st *stage.Stage) (err error) {
	var settings []string
	if b.Profile != "" {
		settings = append(settings, "--profiles")
	}
	var node *stage.Node
	if b.Secure {
		b.secured, node, err = startSecured(ctx, st, b.result.DataDir, b.Holdfast, settings)
	} else {
		node, err = st.StartNode(ctx, b.Holdfast, false, settings...)
	}
	b.nodes = []*stage.Node{node}
	return err
}

func (b *bench) close() {
	for _, conn := range b.conns {
		_ = conn.Close() // it fails only if it was closed before
	}
}

// measure runs the workload and fills the result.
func (b *bench) measure(whole context.Context) error {
	before, err := b.written()
	if err != nil {
		return err
	}
	now := time.Now()
	t := newTally(now.Add(warmUp), now.Add(warmUp+b.Duration), b.Errors)
	if b.Workload == Timers {
		t = newTally(now, now.Add(100*365*24*time.Hour), b.Errors)
		t.patience += b.Delay
	}
	ctx, cancel := context.WithCancelCause(whole)
	defer cancel(nil)
	m := &meter{bench: b, tally: t, cancel: cancel}
	var metering sync.WaitGroup
	metering.Go(func() { m.run(ctx) })
	profiled := make(chan error, 1)
	go func() { profiled <- b.profile(ctx) }()
	settle, err := b.drive(ctx, t)
	finished := time.Now()
	if err == nil && b.Workload == Accept {
		err = b.drain(ctx, t)
	}
	if err == nil {
		err = m.finish(whole)
	}
	if err == nil {
		err = <-profiled
	}
	if err != nil {
		err = why(ctx, err)
	}
	cancel(nil)
	metering.Wait()
	if err != nil {
		return err
	}
	b.conclude(t, min(finished.Sub(t.begin), t.end.Sub(t.begin)))
	if b.result.Series = m.series; len(m.series) < 2 {
		b.result.Series = nil
	}
	after, err := b.written()
	if err != nil {
		return err
	}
	if n := t.counts().all; n > 0 {
		b.result.BytesPerOrder = (after - before) / n
	}
	b.result.TimersResult, err = settle(whole)
	return err
}

// drive submits orders, and waits for their last answers. The function that it returns finds out the rest.
func (b *bench) drive(ctx context.Context, t *tally) (settle func(context.Context) (*TimersResult, error), err error) {
	settle = func(context.Context) (*TimersResult, error) { return nil, nil } //nolint:nilnil // there is none
	switch {
	case b.Workload == Timers:
		all := &timers{script: &b.script, ids: newIDs(time.Now()), tally: t, window: streamWindow}
		err = all.run(ctx, b.conns[0], b.Orders, b.InFlight)
		settle = func(ctx context.Context) (*TimersResult, error) { return all.settle(ctx, b.conns[0]) }
	case b.Submit == Unary:
		err = byCalls(ctx, b.conns, &b.script, t, b.InFlight)
	case len(b.nodes) > 1:
		err = byOwners(ctx, b.conns[0], &b.script, t, b.InFlight)
	default:
		err = byStream(ctx, b.conns[0], &b.script, t, b.InFlight)
	}
	return settle, err
}

// written is how many bytes the nodes' folders have.
func (b *bench) written() (sum int64, err error) {
	for _, n := range b.nodes {
		size, err := stage.FolderSize(n.Data)
		if err != nil {
			return 0, err
		}
		sum += size
	}
	return sum, nil
}

func (b *bench) conclude(t *tally, measured time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := b.result
	r.Seconds = round(measured.Seconds(), 3)
	r.Orders, r.Errors = t.orders, t.errors
	r.RatePerS = math.Round(float64(t.orders) / measured.Seconds())
	r.P50MS, r.P99MS = milliseconds(t.latencies.quantile(0.5)), milliseconds(t.latencies.quantile(0.99))
}
