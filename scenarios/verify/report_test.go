package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/scenarios/load"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBars(t *testing.T) {
	t.Parallel()
	b := bars{"rate": atLeast(100).aiming(200), "late": atMost(5)}.none("lost")
	tests := map[string]struct {
		figures figures
		want    []string
	}{
		"all met":     {figures{"rate": 100.0, "late": int64(5), "lost": 0, "text": "x"}, nil},
		"none met":    {figures{"rate": 99.9, "late": 6, "lost": int64(1)}, []string{"late is 6, more", "lost is 1, more", "rate is 99.9, less"}},
		"nothing":     {nil, []string{"late was not", "lost was not", "rate was not"}},
		"not numbers": {figures{"rate": math.NaN(), "late": "5", "lost": 0}, []string{"late was not", "rate was not"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := b.misses(tt.figures); !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("missed: %q, want %q", got, tt.want)
			}
		})
	}
}

// A figure that can't be right is an error, whatever the bars say; NaN would not even be JSON.
func TestImpossibleFigures(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]any{
		"rate_per_s": 0.0, "accept_rate_per_s": 0, "late_p99_ms": 0.0, "node_peak_rss_bytes": int64(0), "rate_ratio": 0.0,
		"bytes_per_order": int64(0), "ready_s": 0.0, "lost": -1, "memory_growth": math.Inf(1), "kept": math.NaN(),
	} {
		r := report{Row: "w3", Measured: figures{name: value, "text_s": "0", "lost_too": 0, "out_of_order": 0, "excess_max_s": 0.0}, Bar: bars{}}
		if r.judge(nil); r.Pass || !strings.HasPrefix(r.Error, "figures that can't be right: "+name+" is ") || strings.Contains(r.Error, ",") {
			t.Errorf("%s: %+v", name, r)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := report{Row: "w3", Measured: figures{"rate_per_s": 0.1, "lost": 0, "seen": []string{"x"}}, Bar: bars{}}
	if r.judge(nil); !r.Pass {
		t.Errorf("%+v", r)
	}
}

// TestReport: the line has the fields that its readers know, and an error is a miss.
func TestReport(t *testing.T) {
	t.Parallel()
	r := report{Row: "w3", Measured: figures{"rate": 5.0}, Bar: bars{"rate": atLeast(4).aiming(9)}, Seconds: 1.5, Seed: 7}
	r.judge(nil)
	line, err := json.Marshal(r)
	const want = `{"row":"w3","measured":{"rate":5},"bar":{"rate":{"min":4,"aim":9}},"pass":true,"seconds":1.5,"seed":7}`
	if err != nil || string(line) != want {
		t.Errorf("got %s, want %s: %v", line, want, err)
	}
	failed := report{Row: "w3", Bar: bars{}}
	failed.judge(errors.New("the disk is gone"))
	if failed.Pass || failed.Error != "the disk is gone" || failed.Measured == nil {
		t.Errorf("got %+v", failed)
	}
}

// TestRows: each row of each scale has bars, and a name of its own.
func TestRows(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range rows {
		for _, scale := range []string{full, ci} {
			if len(r.bars(&site{scale: scale, against: "another build", postgres: "its folder", consul: "its program"})) == 0 {
				t.Errorf("%s has no bars at scale %s", r.name, scale)
			}
		}
		if seen[r.name] {
			t.Errorf("%s is there twice", r.name)
		}
		seen[r.name] = true
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(binary, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"no row \"none\"":  {"-row", "none", "-holdfast", binary, "-telecom", binary},
		"-scale is":        {"-scale", "huge"},
		"make build":       {"-holdfast", binary + "-gone"},
		"unexpected":       {"w3"},
		"flag provided bu": {"-dance"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != exitUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("%v: exit %d, %q; %q is expected", args, code, stderr.String(), want)
		}
	}
}

func TestLasting(t *testing.T) {
	t.Parallel()
	series := func(n int, of func(i int) load.Interval) []load.Interval {
		var s []load.Interval
		for i := range n {
			s = append(s, of(i))
		}
		return s
	}
	f := figures{}
	// Ten minutes: 1000/s at first, 900/s in the last minute; memory grows in the first two minutes, then by a tenth.
	err := lasting(f, series(60, func(i int) load.Interval {
		v := load.Interval{RatePerS: 1000, NodeRSSBytes: 100}
		switch {
		case i < 12:
			v.NodeRSSBytes = int64(i)
		case i >= 54:
			v.RatePerS, v.NodeRSSBytes = 900, 110
		}
		return v
	}))
	if err != nil || f["last_rate_share"] != 0.9 || f["memory_growth"] != 1.1 {
		t.Errorf("got %v: %v", f, err)
	}
	err = lasting(f, series(4, func(i int) load.Interval {
		return load.Interval{RatePerS: float64(100 - 10*i), NodeRSSBytes: int64(10 * i)}
	}))
	if err != nil || f["last_rate_share"] != 0.7 || f["memory_growth"] != 3.0 {
		t.Errorf("got %v of a short run: %v", f, err)
	}
	if err := lasting(f, nil); err == nil {
		t.Error("a run without a series is judged")
	}
}

// TestSettle: an order has two activities behind it and half of the third when the node is killed.
func TestSettle(t *testing.T) {
	t.Parallel()
	killed := time.Now()
	at := func(s float64) time.Time { return killed.Add(time.Duration(s * float64(time.Second))) }
	const a, b = messages.OrderID("a"), messages.OrderID("b")
	executions := []players.Execution{
		{Key: "trial", Order: "trial", At: at(-9)},
		{Key: "trial", Order: "trial", At: at(-8)},
		{Key: "a1", Order: a, At: at(-2.5)},
		{Key: "a1", Order: a, At: at(-1.5), Over: true},
		{Key: "a2", Order: a, At: at(-1.5)},
		{Key: "a2", Order: a, At: at(-0.5), Over: true},
		{Key: "a3", Order: a, At: at(-0.5)},
		{Key: "a3", Order: a, At: at(0.5), Over: true},
		{Key: "b1", Order: b, At: at(1)},
		{Key: "b1", Order: b, At: at(1.2)},
	}
	f := figures{}
	settle(f, []*order{{id: a, ended: at(0.75)}, {id: b, ended: at(4.5)}, {id: "never"}}, executions, killed)
	want := figures{
		"executed": 4, "executed_twice": 1, "remaining_max_s": 3.0, "excess_max_s": 1.5, "kill_to_done_s": 4.5,
	}
	for name, v := range want {
		if f[name] != v {
			t.Errorf("%s is %v, want %v", name, f[name], v)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	with := func(code codes.Code, message, field, description string) error {
		st, err := status.New(code, message).WithDetails(&errdetails.ErrorInfo{Reason: "BAD"}, &errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: description}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return st.Err()
	}
	const bad, text = codes.InvalidArgument, "a message that explains it"
	if err := refused(with(bad, text, "order.id", "is empty"), bad, "order.id"); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"no error":            nil,
		"no status":           errors.New(text),
		"another code":        with(codes.Internal, text, "order.id", "is empty"),
		"no message":          with(bad, "", "order.id", "is empty"),
		"another field":       with(bad, text, "order.input", "is empty"),
		"no description":      with(bad, text, "order.id", ""),
		"no details at all":   status.Error(bad, text),
		"the end of a stream": status.FromContextError(t.Context().Err()).Err(),
	} {
		if refused(err, bad, "order.id") == nil {
			t.Errorf("%s passes", name)
		}
	}
}
