package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/supervision"
)

// Names of children, before their output.
const (
	devName  = "dev"
	nodeName = "node"
	httpName = "http"
)

// devStarts is how many times in a row a node may end without ever having been ready: then it can't start at all.
const devStarts = 5

// dev is a node with its adapters, under supervision.
type dev struct {
	app      *app
	config   devConfig
	adapters []devAdapter
	log      *slog.Logger
	say      io.Writer // the standard output, with dev's own prefix
	http     *http.Client
	width    int // of the longest name

	alive    chan struct{} // holds one: the node was started, and its liveness is watched
	wasReady atomic.Bool
	failures atomic.Int32 // of the node, while it was never ready
	hopeless context.CancelCauseFunc
}

// runDev runs a node and adapters until ctx ends, or the node can't start.
func (a *app) runDev(ctx context.Context, c devConfig, adapters []devAdapter) error {
	if err := c.validate(); err != nil {
		return err
	}
	ctx, hopeless := context.WithCancelCause(ctx)
	defer hopeless(nil)
	d := &dev{
		app: a, config: c, adapters: adapters, width: len(nodeName), alive: make(chan struct{}, 1), hopeless: hopeless,
		http: &http.Client{Transport: &http.Transport{ // without a proxy, and without a memory
			DisableKeepAlives: true,
			// Whether a child of this process on this machine is alive, nobody else answers, and it is no secret.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		}},
	}
	for _, adapter := range adapters {
		d.width = max(d.width, len(adapter.Name))
	}
	a.liveLong() // a terminal that is paused must not stop the supervision
	logs, says := supervision.NewRelay(a.stderr, d.prefix(devName), 0), supervision.NewRelay(a.stdout, d.prefix(devName), 0)
	defer closeRelay(ctx, logs)
	defer closeRelay(ctx, says)
	d.log, d.say = a.logger(logs), says
	err := d.run(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, errHopeless) {
		err = errors.Join(cause, err)
	}
	return err
}

func (d *dev) prefix(name string) string { return fmt.Sprintf("%-*s | ", d.width, name) }

// closeRelay gives what was said a second to be seen.
func closeRelay(ctx context.Context, r *supervision.Relay) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.Close(ctx) // what a blocked output can't take is lost
}

// run starts all children, waits for the end of ctx, and stops the adapters first, then the node.
func (d *dev) run(ctx context.Context) error {
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	nodeCtx, stopNode := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNode()

	var node, adapters, ready sync.WaitGroup
	errs := make(chan error, 1+len(d.adapters))
	ready.Go(func() { d.tellReady(ctx) })
	node.Go(func() { errs <- d.supervise(nodeCtx, d.nodeSpec(executable)) })
	for _, adapter := range d.adapters {
		if len(adapter.words) == 0 { // one of this program
			adapter.words = []string{executable, "adapter", adapter.Name, "--allow", "*,127.0.0.0/8,::1"}
		}
		adapters.Go(func() { errs <- d.supervise(ctx, d.adapterSpec(adapter)) })
	}
	<-ctx.Done()
	d.log.Info("stopping")
	adapters.Wait()
	stopNode()
	node.Wait()
	ready.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// supervise runs one child until ctx ends.
func (d *dev) supervise(ctx context.Context, spec supervision.Spec) error {
	stdout := supervision.NewRelay(d.app.stdout, d.prefix(spec.Name), 0)
	defer closeRelay(ctx, stdout)
	stderr := supervision.NewRelay(d.app.stderr, d.prefix(spec.Name), 0)
	defer closeRelay(ctx, stderr)
	spec.Stdout, spec.Stderr = stdout, stderr
	spec.Env = append(spec.Env, "HOLDFAST_SERVER="+reachable(d.config.Listen))
	spec.StopGrace, spec.Log = d.config.Grace, d.log
	spec.LiveEvery, spec.LiveTimeout, spec.LiveFailures = d.config.LiveEvery, d.config.LiveTimeout, d.config.LiveFailures
	err := supervision.NewProcess(spec).Run(ctx)
	if err != nil {
		d.hopeless(err) // the spec is wrong
	}
	return err
}

func (d *dev) nodeSpec(executable string) supervision.Spec {
	args := []string{
		"node", "--data", d.config.Data, "--listen", d.config.Listen, "--admin-listen", d.config.Admin,
		"--log-level", d.app.logLevel, "--log-format", d.app.logFormat,
	}
	if d.app.configFile != "" {
		args = append(args, "--config", d.app.configFile)
	}
	return supervision.Spec{
		Name: nodeName, Path: executable, Args: args, Live: d.live(d.adminURL() + "/livez"), OnEvent: d.nodeEvent,
	}
}

func (d *dev) adapterSpec(adapter devAdapter) supervision.Spec {
	spec := supervision.Spec{Name: adapter.Name, Path: adapter.words[0], Args: adapter.words[1:], Dir: adapter.Dir}
	for name, value := range adapter.Env {
		spec.Env = append(spec.Env, name+"="+value)
	}
	if adapter.Live != "" {
		spec.Live = d.live(adapter.Live)
	}
	return spec
}

func (d *dev) adminURL() string {
	if d.app.given("admin_tls_cert") {
		return "https://" + reachable(d.config.Admin)
	}
	return "http://" + reachable(d.config.Admin)
}

// errHopeless says that the node can't start.
var errHopeless = errors.New("the node has ended again and again without ever being ready; its output above says why")

func (d *dev) nodeEvent(e supervision.Event) {
	switch e.Kind {
	case supervision.Alive:
		select {
		case d.alive <- struct{}{}:
		default:
		}
	case supervision.Exited:
		if !d.wasReady.Load() && d.failures.Add(1) == devStarts {
			d.hopeless(errHopeless)
		}
	case supervision.Started, supervision.Unhealthy, supervision.Stopping:
	}
}

// maxBody is how much is read of an answer of a health endpoint.
const maxBody = 1 << 10

// live asks a health endpoint.
func (d *dev) live(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return fmt.Errorf("ask %s: %w", url, err)
		}
		answer, err := d.http.Do(request)
		if err != nil {
			return fmt.Errorf("ask %s: %w", url, err)
		}
		defer answer.Body.Close() //nolint:errcheck // it was only read
		body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
		if err != nil {
			return fmt.Errorf("ask %s: %w", url, err)
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s: %s", url, answer.Status, strings.TrimSpace(string(body)))
		}
		return nil
	}
}

// readyEvery is how often a node that has come alive is asked whether it is ready.
const readyEvery = 50 * time.Millisecond

// tellReady says each time that the node has become ready.
func (d *dev) tellReady(ctx context.Context) {
	ready := d.live(d.adminURL() + "/readyz")
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	waiting := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.alive:
			waiting = true
		case <-tick.C:
			if !waiting {
				continue
			}
			asking, cancel := context.WithTimeout(ctx, d.config.LiveTimeout)
			err := ready(asking)
			cancel()
			if err == nil {
				waiting = false
				d.wasReady.Store(true)
				d.sayReady()
			}
		}
	}
}

func (d *dev) sayReady() {
	data, err := filepath.Abs(d.config.Data)
	if err != nil {
		data = d.config.Data
	}
	names := make([]string, len(d.adapters))
	for i, adapter := range d.adapters {
		names[i] = adapter.Name
	}
	fmt.Fprintf(d.say, "ready: orders at %s, administration at %s, data in %s, adapters: %s\n",
		reachable(d.config.Listen), d.adminURL(), clean(data), strings.Join(names, " "))
}
