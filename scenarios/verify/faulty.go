package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// faultyInFlight is how many orders are under way while something in the node goes wrong.
const faultyInFlight = 200

// faulty is a holdfast dev with a node that has faults on demand, adapters, and a client that keeps orders in flight.
type faulty struct {
	site   *site
	node   *stage.Node // its process is dev
	conn   *client.Client
	client *fleet
	logs   []string // of the downstream systems
	log    string   // of dev and all that it runs
	seen   int64    // of the log: what was there before the present fault
}

// buildFaults builds a binary with faults on demand.
func buildFaults(ctx context.Context, s *site) (binary string, err error) {
	binary = filepath.Join(s.dir, "holdfast-faults")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "faults", "-o", binary, "./cmd/holdfast")
	build.Dir = s.root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build a binary with faults: %w: %s", err, lastBytes(out))
	}
	return binary, nil
}

// withFaults has faults injected while orders are under way, and tells what became of these.
func withFaults(ctx context.Context, s *site, f figures, inject func(context.Context, *faulty) error) error {
	binary, err := buildFaults(ctx, s)
	if err != nil {
		return err
	}
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	x, err := startFaulty(ctx, s, st, binary)
	if err != nil {
		return why(ctx, err)
	}
	defer x.conn.Close() //nolint:errcheck // it fails only if it was closed before
	if err := deploy(ctx, x.conn, "kill"); err != nil {
		return why(ctx, err)
	}
	x.client = newFleet(func(n int) *orderv1.WorkOrder {
		return &orderv1.WorkOrder{
			Definition: "verify/kill:1.0.0", Input: fmt.Appendf(nil, `{"imsi":"24001%010d","msisdn":"+467%08d"}`, n, n),
		}
	})
	err = x.client.during(ctx, x.conn, faultyInFlight, func(sailing context.Context) error {
		if err := x.goesOn(sailing); err != nil {
			return err
		}
		return inject(sailing, x)
	})
	for _, wrong := range x.client.wrong {
		s.sayf("%v", wrong)
	}
	if err != nil {
		return why(ctx, err)
	}
	return accountFor(ctx, s, f, x.client, x.conn, x.logs)
}

func startFaulty(ctx context.Context, s *site, st *stage.Stage, binary string) (*faulty, error) {
	addresses, err := stage.FreeAddresses(ctx, 2+len(killSystems))
	if err != nil {
		return nil, err
	}
	x := &faulty{
		site: s, log: filepath.Join(s.dir, "dev.log"),
		node: &stage.Node{Server: addresses[0], Admin: addresses[1], Data: filepath.Join(s.dir, "data")},
	}
	args := []string{
		"dev", "--log-format", "json", "--data", x.node.Data, "--listen", x.node.Server, "--admin-listen", x.node.Admin,
	}
	for i, system := range killSystems {
		address, log := addresses[2+i], filepath.Join(s.dir, "downstream-"+system+".jsonl")
		x.logs = append(x.logs, log)
		_, err := st.Start(ctx, stage.Spec{Name: "downstream-" + system, Path: s.telecom, Args: []string{
			"downstream", system, "--listen", address, "--log", log, "--latency", "100ms", "--jitter", "300ms",
		}})
		if err != nil {
			return nil, err
		}
		if err := stage.Answers(ctx, "http://"+address+"/control"); err != nil {
			return nil, err
		}
		args = append(args, "--adapter", fmt.Sprintf("%s='%s' adapter %s --server %s --downstream http://%s --concurrency %d",
			system, s.telecom, system, x.node.Server, address, killConcurrency))
	}
	if x.node.Process, err = st.Start(ctx, stage.Spec{Name: "dev", Path: binary, Args: args}); err != nil {
		return nil, err
	}
	if err := x.node.Ready(ctx); err != nil {
		return nil, err
	}
	x.conn, err = x.node.Dial()
	return x, err
}

// goesOn waits until more orders have ended.
func (x *faulty) goesOn(ctx context.Context) error {
	before := x.client.counts().ended
	return x.client.await(ctx, func(c counts) bool { return c.ended > before+faultyInFlight/4 })
}

// arm has the node do something at a point, a number of times. See cmd/holdfast/faults_on.go.
func (x *faulty) arm(ctx context.Context, point, name, do string, times int) error {
	form := url.Values{"point": {point}, "name": {name}, "do": {do}, "times": {fmt.Sprint(times)}}
	_, err := x.faults(ctx, http.MethodPost, "?"+form.Encode())
	return err
}

// happened tells how often the fault that was armed first has happened, in the present process.
func (x *faulty) happened(ctx context.Context) (int, error) {
	body, err := x.faults(ctx, http.MethodGet, "")
	if err != nil {
		return 0, err
	}
	var all []struct {
		Happened int `json:"happened"`
	}
	if err := json.Unmarshal(body, &all); err != nil || len(all) == 0 {
		return 0, fmt.Errorf("the node tells of its faults: %s", lastBytes(body))
	}
	return all[0].Happened, nil
}

func (x *faulty) faults(ctx context.Context, method, query string) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, method, "http://"+x.node.Admin+"/faults"+query, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	q.Close = true
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the URL
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	return body, err
}

// said is a line of a log in JSON that dev passes on, or of its own.
type said struct {
	who     string // the process, as dev calls it
	text    string
	Time    time.Time `json:"time"`
	Message string    `json:"msg"`
	Process string    `json:"process"`
	PID     int       `json:"pid"`
	Reason  string    `json:"reason"`
	Exit    string    `json:"exit"`
	Actor   string    `json:"actor"`
}

// of tells whether dev says something of the node.
func (l said) ofNode(message string) bool {
	return l.who == "dev" && l.Process == "node" && l.Message == message
}

// What dev says of the processes that it runs.
const (
	hasStarted = "process has started"
	isKilled   = "process makes no progress and is killed"
	hasEnded   = "process ended and is started again"
)

// mark notes that what is in the log now was there before.
func (x *faulty) mark() error {
	info, err := os.Stat(x.log)
	if err != nil {
		return fmt.Errorf("look at the log: %w", err)
	}
	x.seen = info.Size()
	return nil
}

// said returns what was said since the mark.
func (x *faulty) said() ([]said, error) {
	f, err := os.Open(x.log)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if _, err := f.Seek(x.seen, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	var all []said
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		who, text, found := strings.Cut(lines.Text(), " | ")
		if !found {
			continue
		}
		l := said{who: strings.TrimSpace(who), text: text}
		_ = json.Unmarshal([]byte(text), &l) // not all is JSON
		all = append(all, l)
	}
	return all, lines.Err()
}

// await waits until something was said since the mark.
func (x *faulty) await(ctx context.Context, what string, is func(said) bool) (said, error) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		all, err := x.said()
		if err != nil {
			return said{}, err
		}
		for _, l := range all {
			if is(l) {
				return l, nil
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return said{}, fmt.Errorf("%w, waiting until the log says: %s", context.Cause(ctx), what)
		}
	}
}

// pid returns the process id of the node: the last that dev has started.
func (x *faulty) pid() (int, error) {
	seen := x.seen
	defer func() { x.seen = seen }()
	x.seen = 0
	all, err := x.said()
	pid := 0
	for _, l := range all {
		if l.ofNode(hasStarted) {
			pid = l.PID
		}
	}
	if pid == 0 && err == nil {
		err = errors.New("dev tells of no node")
	}
	return pid, err
}

// stop stops the node as it runs now, which then neither answers nor ends.
func (x *faulty) stop() error {
	pid, err := x.pid()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop the node: %w", err)
	}
	return nil
}

// restarted waits until dev has started the node again and that takes orders, and returns when it was started.
func (x *faulty) restarted(ctx context.Context) (time.Time, error) {
	again, err := x.await(ctx, "the node was started again", func(l said) bool { return l.ofNode(hasStarted) })
	if err != nil {
		return time.Time{}, err
	}
	if err := x.node.Ready(ctx); err != nil {
		return time.Time{}, err
	}
	return again.Time, x.goesOn(ctx)
}
