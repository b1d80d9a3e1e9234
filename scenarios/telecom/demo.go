package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/scenarios/checker"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// definitionRef is what the sample orders run.
const definitionRef = "telecom/activate-mobile:1.0.0"

// demo runs the sample orders through real processes.
type demo struct {
	holdfast string // path of the binary
	self     string // path of this one
	dir      string // of all data and logs
	show     *screen
	history  string   // the sample whose history is shown
	dedup    bool     // of the downstreams
	orders   []sample // to be submitted
}

// run runs the demo; its error says what is not as it must be.
func (d *demo) run(ctx context.Context) error {
	whole := ctx
	ctx, s := newProcesses(whole, d.dir, func(text string) { d.show.line("processes", yellow, text) })
	defer s.stop()
	server, err := d.start(s)
	if err != nil {
		return err
	}
	// The node may be killed while the demo runs, to see what happens.
	c, err := client.New(client.Config{Addresses: []string{server}, Backoff: client.Backoff{Initial: reconnectAfter, Max: reconnectAfter}})
	if err != nil {
		return fmt.Errorf("connect to %s: %w", server, err)
	}
	defer func() { _ = c.Close() }()
	if err := deploy(ctx, c, d.show); err != nil {
		return err
	}
	all, err := d.carryOut(ctx, c)
	if err != nil {
		return err
	}
	s.stop() // so that no log grows while it is checked
	d.show.line("processes", "", "all stopped")
	return d.judge(whole, all)
}

// start starts the downstreams, the node and its adapters, and returns the node's address.
func (d *demo) start(s *processes) (server string, err error) {
	names := systemNames()
	addresses, err := stage.FreeAddresses(s.ctx, len(names)+2)
	if err != nil {
		return "", err
	}
	server, admin := addresses[len(names)], addresses[len(names)+1]
	dev := []string{"dev", "--data", filepath.Join(d.dir, "data"), "--listen", server, "--admin-listen", admin}
	for i, name := range names {
		args := []string{
			"downstream", name, "--listen", addresses[i], "--log", downstreamLog(d.dir, name),
			"--latency", "20ms", "--jitter", "60ms", "--no-dedup=" + strconv.FormatBool(!d.dedup),
		}
		if err := s.start("downstream-"+name, d.self, append(args, faults[name]...)...); err != nil {
			return "", err
		}
		dev = append(dev, "--adapter", fmt.Sprintf("%s=%q adapter %s --downstream http://%s", name, d.self, name, addresses[i]))
	}
	for _, address := range addresses[:len(names)] {
		if err := stage.Answers(s.ctx, "http://"+address+"/control"); err != nil {
			return "", err
		}
	}
	d.show.line("downstreams", "", fmt.Sprintf("%d systems answer, a process each", len(names)))
	if err := s.start("holdfast-dev", d.holdfast, dev...); err != nil {
		return "", err
	}
	if err := stage.Answers(s.ctx, "http://"+admin+"/readyz"); err != nil {
		return "", err
	}
	s.ready.Store(true)
	d.show.line("node", "", fmt.Sprintf("ready on %s, with %d adapter processes", server, len(names)))
	return server, nil
}

func downstreamLog(dir, name string) string { return filepath.Join(dir, "downstream-"+name+".jsonl") }

func deploy(ctx context.Context, c *client.Client, show *screen) error {
	document, err := files.ReadFile("definitions/activate-mobile.yaml")
	if err != nil {
		return fmt.Errorf("read definition: %w", err)
	}
	answer, err := c.Definitions().Deploy(ctx, &definitionv1.DeployRequest{Document: document})
	if err != nil {
		return fmt.Errorf("deploy %s: %w", definitionRef, err)
	}
	show.line("definition", "", fmt.Sprintf("%s deployed, it calls %d activities", definitionRef,
		len(answer.GetDefinition().GetActivities())))
	return nil
}

// carryOut submits the orders, and follows them to their ends.
func (d *demo) carryOut(ctx context.Context, c *client.Client) ([]*following, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all []*following
	for _, s := range d.orders {
		o, err := newFollowing(s)
		if err != nil {
			return nil, err
		}
		if err := o.submit(ctx, c); err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	d.show.line("orders", "", fmt.Sprintf("%d accepted", len(all)))
	var watching sync.WaitGroup
	for _, o := range all {
		watching.Go(func() {
			if err := o.follow(ctx, c, d.show); err != nil {
				cancel(err)
			}
		})
	}
	watching.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("%w%s", err, stuck(all))
	}
	return all, nil
}

// stuck says where the orders are that have not ended.
func stuck(all []*following) string {
	var text strings.Builder
	for _, o := range all {
		if o.last == nil && len(o.events) > 0 {
			e := o.events[len(o.events)-1]
			fmt.Fprintf(&text, "\n  %s has not ended: its version %d is %s %s", o.name, e.GetVersion(), e.GetType(), e.GetTask())
		}
	}
	return text.String()
}

// judge shows what became of the orders, and checks it.
func (d *demo) judge(ctx context.Context, all []*following) error {
	var wrong int
	for _, o := range all {
		if o.name == d.history {
			d.show.history(o)
		}
		if len(o.wrong) > 0 {
			wrong++
		}
	}
	d.show.summary(all)
	return checkAll(ctx, d.dir, d.show, all, wrong)
}

// checkAll compares the logs of the downstreams with the histories of the orders, of which so many are wrong already.
func checkAll(ctx context.Context, dir string, show *screen, all []*following, wrong int) error {
	histories := filepath.Join(dir, "histories.jsonl")
	if err := writeHistories(histories, all); err != nil {
		return err
	}
	var logs []string
	for _, name := range systemNames() {
		logs = append(logs, downstreamLog(dir, name))
	}
	report, err := checker.Files(ctx, logs, []string{histories})
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	show.heading("Check of the downstreams' logs against the histories")
	printReport(show.out, report)
	switch {
	case wrong > 0:
		return fmt.Errorf("%d of %d orders are not as expected", wrong, len(all))
	case !report.Pass:
		return errViolations
	case report.Orders != int64(len(all)) || report.Ended != report.Orders:
		return fmt.Errorf("%d orders were submitted, %d have a history, %d of them an end", len(all), report.Orders, report.Ended)
	}
	return nil
}

// newDir makes the folder of one run.
func newDir(parent, what string) (string, error) {
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	dir, err := os.MkdirTemp(parent, what+time.Now().Format("-20060102-150405-*"))
	if err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	return filepath.Abs(dir) //nolint:wrapcheck // its error says it all
}

var errNoHoldfast = errors.New("is not there: build it with make build, or name it with --holdfast")
