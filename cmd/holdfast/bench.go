package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/scenarios/load"
)

// newBench makes the command that measures a node.
func newBench(a *app) *cobra.Command {
	c := load.Config{}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a node on this machine",
		Long: "Measures a node on this machine: starts one with default settings, and the adapter for benchmarks, as processes of\n" +
			"their own, and submits orders to it. Their data go to a new folder in the working directory, which must be on a\n" +
			"disk, and which is removed afterwards.\n\n" +
			"Workloads: w3 (three activities in a row), w0 (no activity), accept (one activity, until it is accepted;\n" +
			"all that was accepted is run before the end), timers (--orders that wait for --delay each).",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if c.Holdfast, err = os.Executable(); err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			if err := c.Validate(); err != nil {
				return usageError{err}
			}
			c.Errors = a.stderr
			if a.output != outputJSON {
				c.Progress = func(i load.Interval) {
					fmt.Fprintf(a.stderr, "%6.0f s  %8.0f orders/s  node %d MiB\n", i.AtS, i.RatePerS, i.NodeRSSBytes>>20)
				}
			}
			result, err := load.Run(cmd.Context(), c)
			if err != nil {
				return fmt.Errorf("bench: %w", err)
			}
			if a.output == outputJSON {
				return a.printJSON(result)
			}
			return a.printBench(result)
		},
	}
	f := cmd.Flags()
	f.StringVar((*string)(&c.Workload), "workload", string(load.W3), "what to measure: "+list(load.Workloads))
	f.StringVar((*string)(&c.Submit), "submit", string(load.ByStream), "how to submit: "+list(load.Submissions))
	f.IntVar(&c.InFlight, "in-flight", 256, "orders under way at once; with timers, those that wait for acceptance")
	f.DurationVar(&c.Duration, "duration", 10*time.Second, "how long to measure, after a second of warm-up")
	f.IntVar(&c.Orders, "orders", 100_000, "how many orders; with timers only")
	f.DurationVar(&c.Delay, "delay", 30*time.Second, "how long each order waits; with timers only")
	f.StringVar(&c.Dir, "dir", ".", "`folder` for the data, on a disk")
	f.StringVar(&c.Profile, "profile", "", "`file` for a profile of the node's processor time")
	f.BoolVar(&c.Secure, "secure", false, "secure the node by TLS, and have client and adapter known by certificates, with roles")
	f.BoolVar(&c.Keep, "keep", false, "keep data and logs")
	complete(cmd, "workload", texts(load.Workloads)...)
	complete(cmd, "submit", texts(load.Submissions)...)
	return cmd
}

func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

func list[T ~string](values []T) string { return strings.Join(texts(values), ", ") }

func (a *app) printBench(r *load.Result) error {
	t := a.newRecord()
	row := func(name, format string, args ...any) { t.row(name, fmt.Sprintf(format, args...)) }
	row("workload", "%s, %d in flight, by %s", r.Workload, r.InFlight, r.Submit)
	row("orders", "%d in %.1f s, %d errors", r.Orders, r.Seconds, r.Errors)
	row("rate", "%.0f/s", r.RatePerS)
	row("latency", "p50 %.2f ms, p99 %.2f ms", r.P50MS, r.P99MS)
	if r.TimersResult != nil {
		row("timers", "%d early, %d lost, p99 %.1f ms late", r.Early, r.Lost, r.LateP99MS)
	}
	row("disk", "%d bytes an order, %d fsyncs, on %s", r.BytesPerOrder, r.Fsyncs, r.Filesystem)
	for _, p := range r.Processes {
		row(p.Name, "%.2f s CPU, %d MiB at most", p.CPUS, p.PeakRSSBytes>>20)
	}
	return t.end()
}
