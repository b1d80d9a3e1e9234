package load

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// Workload is what is measured; the package comment tells what each is.
type Workload string

// The workloads.
const (
	W3     Workload = "w3"
	W0     Workload = "w0"
	Accept Workload = "accept"
	Timers Workload = "timers"
)

// Workloads are all workloads.
var Workloads = []Workload{W3, W0, Accept, Timers}

// Submission is how orders are submitted.
type Submission string

// The ways to submit: many orders on a stream, or each by a call of its own.
const (
	ByStream Submission = "stream"
	Unary    Submission = "unary"
)

// Submissions are all ways to submit.
var Submissions = []Submission{ByStream, Unary}

// streamWindow is how many unanswered orders a node takes from one stream by default, with some room to spare.
const streamWindow = 16_000

// Config says what to measure. Fields without a default must be set.
type Config struct {
	// Holdfast is the path of the holdfast binary that the processes run.
	Holdfast string
	// Dir is the folder in which a new one is made for the run, on a real file system. Default: the working directory.
	Dir string
	// Nodes are those of a cluster that runs already; orders go to those that own them. None: one is started, on the embedded journal.
	Nodes []*stage.Node
	// Secure has the node's listeners secured by TLS, and the client and the adapter known by certificates, with the roles that they need.
	Secure bool
	// Keep leaves that folder, with data and logs, when the run is over.
	Keep bool

	Workload Workload
	// Submit is how. Default ByStream; Timers only goes by stream.
	Submit Submission
	// InFlight is how many orders are under way at once: 1 to 16,000, by default 256. With Timers, how many wait for
	// their acceptance.
	InFlight int
	// Duration is how long is measured after the warm-up, at least 1 s; default 10 s. Not used by Timers.
	Duration time.Duration
	// Orders is how many orders Timers submits, 1 to 1,000,000, by default 100,000; Delay is how long each of them waits,
	// by default 30 s.
	Orders int
	Delay  time.Duration

	// Profile is a file for the profile of the node's processor time while it is measured; empty: none. Timers have none.
	Profile string

	// Errors shows the first errors. Default: they are only counted.
	Errors io.Writer
	// Progress, if set, is called with each interval of the series, as it is over.
	Progress func(Interval)
}

// warmUp is the time before measuring starts.
const warmUp = time.Second

func (c Config) withDefaults() Config {
	c.Dir = cmp.Or(c.Dir, ".")
	c.Submit = cmp.Or(c.Submit, ByStream)
	c.InFlight = cmp.Or(c.InFlight, 256)
	c.Duration = cmp.Or(c.Duration, 10*time.Second)
	c.Orders = cmp.Or(c.Orders, 100_000)
	c.Delay = cmp.Or(c.Delay, 30*time.Second)
	if c.Errors == nil {
		c.Errors = io.Discard
	}
	if c.Progress == nil {
		c.Progress = func(Interval) {}
	}
	return c
}

// Validate says everything that is wrong with the settings, with their defaults filled in.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Holdfast == "" {
		wrong("the holdfast binary is not named")
	}
	if !slices.Contains(Workloads, c.Workload) {
		wrong("workload %q: one of %v is expected", c.Workload, Workloads)
	}
	if !slices.Contains(Submissions, c.Submit) {
		wrong("submit %q: one of %v is expected", c.Submit, Submissions)
	}
	if c.Workload == Timers && c.Submit != ByStream {
		wrong("timers can only be submitted by stream")
	}
	if c.Workload == Timers && c.Profile != "" {
		wrong("timers can't be profiled")
	}
	if len(c.Nodes) > 0 && (c.Workload != W3 && c.Workload != W0 || c.Submit != ByStream || c.Profile != "" || c.Secure) {
		wrong("a cluster is measured with w3 or w0 by stream, and neither profiled nor secured")
	}
	if c.InFlight < 1 || c.InFlight > streamWindow {
		wrong("in-flight %d: 1 to %d is expected", c.InFlight, streamWindow)
	}
	if c.Duration < time.Second {
		wrong("duration %v: at least 1s is expected", c.Duration)
	}
	if c.Orders < 1 || c.Orders > maxSlots {
		wrong("orders %d: 1 to %d is expected", c.Orders, maxSlots)
	}
	if c.Delay < 0 || c.Delay > 24*time.Hour {
		wrong("delay %v: 0 to 24h is expected", c.Delay)
	}
	return errors.Join(errs...)
}

// Result is what was measured.
type Result struct {
	Workload Workload   `json:"workload"`
	InFlight int        `json:"in_flight"`
	Submit   Submission `json:"submit"`
	// Seconds is the measured time. With Timers it lasts until the last order has ended.
	Seconds float64 `json:"seconds"`
	// Orders counts those whose end (Accept: acceptance) the client saw in that time.
	Orders int64 `json:"orders"`
	// Errors counts orders that went wrong in any way, at any time.
	Errors   int64   `json:"errors"`
	RatePerS float64 `json:"rate_per_s"`
	// P50MS and P99MS are quantiles of the time from submission to end (or acceptance), in milliseconds.
	P50MS float64 `json:"p50_ms"`
	P99MS float64 `json:"p99_ms"`
	// BytesPerOrder is by how much the data folders grew, for each order that ended.
	BytesPerOrder int64 `json:"bytes_per_order"`
	// Fsyncs counts the group commits from the beginning of the measured time until all orders had ended; the CPU time of
	// the processes is of the same time.
	Fsyncs     int64        `json:"fsyncs"`
	DataDir    string       `json:"data_dir"`
	Filesystem string       `json:"filesystem"`
	Processes  []ProcessUse `json:"processes"`

	*TimersResult //nolint:embeddedstructfieldcheck // in the order of the JSON

	// Series has an interval for each 10 s of a run that is longer.
	Series []Interval `json:"series,omitempty"`
}

// TimersResult is what Timers measures beside.
type TimersResult struct {
	// Early counts orders that went on before their time, by the node's history or as the client saw it.
	Early int64 `json:"early"`
	// Lost counts accepted orders whose end never came.
	Lost int64 `json:"lost"`
	// LateP99MS is the 99 % quantile of the time from the moment that an order was due to its end as the client saw it.
	LateP99MS float64 `json:"late_p99_ms"`
}

// ProcessUse is what one process used.
type ProcessUse struct {
	Name         string  `json:"name"`
	CPUS         float64 `json:"cpu_s"`
	PeakRSSBytes int64   `json:"peak_rss_bytes"`
}

// Interval is one part of a long run.
type Interval struct {
	// AtS is when the interval ended, in seconds of the measured time.
	AtS float64 `json:"at_s"`
	// RatePerS is the rate in this interval alone.
	RatePerS float64 `json:"rate_per_s"`
	// NodeRSSBytes is the memory of the node, or of all nodes together.
	NodeRSSBytes int64 `json:"node_rss_bytes"`
}

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}
