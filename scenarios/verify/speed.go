package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/load"
)

// runBench runs holdfast bench.
func runBench(ctx context.Context, s *site, args ...string) (*load.Result, error) {
	var r load.Result
	err := s.json(ctx, &r, s.holdfast, append([]string{"bench", "-o", "json", "--dir", s.dir}, args...)...)
	return &r, err
}

// figuresOf are the figures of a run that every row tells.
func figuresOf(r *load.Result) figures {
	f := figures{
		"orders": r.Orders, "errors": r.Errors, "rate_per_s": r.RatePerS, "p50_ms": r.P50MS, "p99_ms": r.P99MS,
		"bytes_per_order": r.BytesPerOrder, "fsyncs": r.Fsyncs, "filesystem": r.Filesystem,
	}
	for _, p := range r.Processes {
		f[p.Name+"_cpu_s"], f[p.Name+"_peak_rss_bytes"] = p.CPUS, p.PeakRSSBytes
	}
	return f
}

// seconds chooses the duration of a run.
func (s *site) seconds(atFull, atCI int) string {
	if s.ci() {
		return strconv.Itoa(atCI) + "s"
	}
	return strconv.Itoa(atFull) + "s"
}

// w3 measures the main workload.
func w3(ctx context.Context, s *site) (figures, error) {
	r, f, err := w3At(ctx, s, 256, s.seconds(10, 5))
	if err != nil || noYardstick(s) != "" {
		return f, err
	}
	stick, err := runYardstick(ctx, s, 256)
	if err != nil {
		return f, err
	}
	f["yardstick_rate_per_s"], f["yardstick_ratio"] = round(stick.RatePerS, 0), round(r.RatePerS/stick.RatePerS, 3)
	return f, nil
}

// w3At runs w3 with so many orders in flight.
func w3At(ctx context.Context, s *site, inFlight int, duration string) (*load.Result, figures, error) {
	r, err := runBench(ctx, s, "--workload", "w3", "--in-flight", strconv.Itoa(inFlight), "--duration", duration)
	if err != nil {
		return nil, nil, err
	}
	f := figuresOf(r)
	if why := noYardstick(s); why != "" {
		f["yardstick"] = why
	}
	return r, f, nil
}

func w3Bars(s *site) bars {
	b := bars{"rate_per_s": s.atRate(5000).aiming(12_000)}.none("errors")
	if noYardstick(s) == "" {
		b["yardstick_ratio"] = atLeast(0.10).aiming(0.25)
	}
	return b
}

// yardstickResult is what the yardstick prints: the least program that keeps the same promise as w3, to tell how fast this
// machine is in this minute. It runs afterwards, because it writes half a gigabyte to begin with, and the disk goes on
// with that.
type yardstickResult struct {
	RatePerS float64 `json:"rate_per_s"`
	P50MS    float64 `json:"p50_ms"`
}

// noYardstick says why the yardstick is not run; empty: it is.
func noYardstick(s *site) string {
	if s.ci() {
		return "skipped: scale ci"
	}
	if _, err := os.Stat(s.yardstick); err != nil {
		return "skipped: no yardstick"
	}
	return ""
}

// The yardstick can't start on a busy disk: it hangs or panics, so it is tried again.
const (
	yardstickTime  = 25 * time.Second
	yardstickTries = 4
)

// runYardstick measures the yardstick, with more arguments if need be.
func runYardstick(ctx context.Context, s *site, inFlight int, more ...string) (r yardstickResult, err error) {
	binary := s.dir + "/yardstick"
	if _, err = s.command(ctx, s.yardstick, nil, "go", "build", "-o", binary, "."); err != nil {
		return r, err
	}
	for range yardstickTries {
		if r, err = runYardstickOnce(ctx, s, binary, inFlight, more); err == nil || ctx.Err() != nil {
			break
		}
	}
	return r, err
}

func runYardstickOnce(ctx context.Context, s *site, binary string, inFlight int, more []string) (yardstickResult, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, yardstickTime, fmt.Errorf("not over within %v", yardstickTime))
	defer cancel()
	var r yardstickResult
	err := s.json(ctx, &r, binary, append([]string{"-workload", "w3", "-in-flight", strconv.Itoa(inFlight), "-duration", "10s"}, more...)...)
	if err == nil && (r.RatePerS <= 0 || r.P50MS <= 0) {
		err = errors.New("the yardstick measured nothing")
	}
	return r, err
}

// w3Long measures whether the speed lasts.
func w3Long(ctx context.Context, s *site) (figures, error) {
	r, err := runBench(ctx, s, "--workload", "w3", "--in-flight", "256", "--duration", s.seconds(600, 30))
	if err != nil {
		return nil, err
	}
	f := figuresOf(r)
	return f, lasting(f, r.Series)
}

// minute is the number of intervals in a minute.
const minute = 6

// lasting compares the last minute of a run with its first ten seconds, and its memory with that after the third minute.
// Of a run shorter than five minutes it compares the last interval with the first two.
func lasting(f figures, series []load.Interval) error {
	if len(series) < 3 {
		return fmt.Errorf("the series has %d intervals: at least 3 are needed", len(series))
	}
	last, settled := series[len(series)-1:], series[1:2]
	if len(series) >= 5*minute {
		last, settled = series[len(series)-minute:], series[2*minute:3*minute]
	}
	var rate, rss, rssBefore float64
	for _, i := range last {
		rate += i.RatePerS / float64(len(last))
		rss += float64(i.NodeRSSBytes) / float64(len(last))
	}
	for _, i := range settled {
		rssBefore += float64(i.NodeRSSBytes) / float64(len(settled))
	}
	f["first_rate_per_s"], f["last_rate_per_s"] = series[0].RatePerS, round(rate, 0)
	f["last_rate_share"] = round(rate/series[0].RatePerS, 3)
	f["memory_growth"] = round(rss/rssBefore, 3)
	return nil
}

func w3LongBars(s *site) bars {
	b := bars{"last_rate_share": s.atRate(0.8)}.none("errors")
	if !s.ci() {
		b["memory_growth"] = atMost(1.25) // flat: less than what a garbage collector swings
	}
	return b
}

// latency measures one order alone.
func latency(ctx context.Context, s *site) (figures, error) {
	r, f, err := w3At(ctx, s, 1, s.seconds(10, 5))
	if err != nil || noYardstick(s) != "" {
		return f, err
	}
	stick, err := runYardstick(ctx, s, 1)
	if err != nil {
		return f, err
	}
	f["yardstick_p50_ms"], f["yardstick_p50_ratio"] = stick.P50MS, round(r.P50MS/stick.P50MS, 3)
	return f, nil
}

func latencyBars(s *site) bars { return bars{"p50_ms": s.within(3)}.none("errors") }

// accept measures acceptance, by stream and by single calls.
func accept(ctx context.Context, s *site) (figures, error) {
	f := figures{}
	var wrong int64
	for _, how := range load.Submissions {
		r, err := runBench(ctx, s, "--workload", "accept", "--in-flight", "256", "--submit", string(how), "--duration", s.seconds(10, 5))
		if err != nil {
			return f, err
		}
		for name, v := range figuresOf(r) {
			f[string(how)+"_"+name] = v
		}
		wrong += r.Errors
	}
	f["errors"] = wrong
	return f, nil
}

func acceptBars(s *site) bars {
	return bars{"stream_rate_per_s": s.atRate(15_000), "unary_rate_per_s": s.atRate(8000)}.none("errors")
}

// timerOrders is how many orders wait at once.
func timerOrders(s *site) int {
	if s.ci() {
		return 20_000
	}
	return 100_000
}

func timers(ctx context.Context, s *site) (figures, error) {
	r, err := runBench(ctx, s, "--workload", "timers", "--orders", strconv.Itoa(timerOrders(s)), "--delay", s.seconds(30, 6))
	if err != nil {
		return nil, err
	}
	f := figuresOf(r)
	if r.TimersResult == nil {
		return f, errors.New("bench told nothing about timers")
	}
	f["early"], f["lost"], f["late_p99_ms"] = r.Early, r.Lost, r.LateP99MS
	return f, nil
}

func timersBars(s *site) bars {
	return bars{
		"orders": atLeast(float64(timerOrders(s))), "late_p99_ms": s.within(500), "node_peak_rss_bytes": atMost(1<<30 - 1),
	}.none("early", "lost", "errors")
}

// demo runs make demo in a fresh clone. At full scale nothing that was compiled before is used; modules are.
func demo(ctx context.Context, s *site) (figures, error) {
	clone := s.dir + "/clone"
	if _, err := s.command(ctx, s.root, nil, "git", "clone", "--quiet", "--no-hardlinks", s.root, clone); err != nil {
		return nil, err
	}
	commit, err := s.command(ctx, clone, nil, "git", "rev-parse", "--short", "HEAD")
	if err != nil {
		return nil, err
	}
	env := []string{"MAKEFLAGS=", "MAKEOVERRIDES="} // as from a shell, also if this is run by make
	if !s.ci() {
		env = append(env, "GOCACHE="+s.dir+"/gocache")
	}
	began := time.Now()
	out, err := s.command(ctx, clone, env, "make", "demo")
	f := figures{"commit": firstLine(commit), "demo_s": round(time.Since(began).Seconds(), 1), "exit": 0}
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		f["exit"] = exit.ExitCode()
		s.sayf("%s", out)
		return f, nil
	}
	return f, err
}

func demoBars(*site) bars { return bars{"demo_s": atMost(180)}.none("exit") }

// json runs a program, and reads its output.
func (s *site) json(ctx context.Context, into any, name string, args ...string) error {
	out, err := s.command(ctx, s.dir, s.env, name, args...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("%s printed %.300q, which is not understood: %w", name, out, err)
	}
	return nil
}
