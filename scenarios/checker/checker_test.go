package checker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/scenarios/checker"
)

func scheduled(order string, version int, key string) string {
	return event(order, version, "attempt.scheduled", key)
}

func event(order string, version int, kind, key string) string {
	return fmt.Sprintf(`{"order":%q,"version":%d,"at":"2026-01-01T00:00:00Z","type":%q,"task":"/do/0/a","key":%q,"activity":"hss.create","data":{"x":[1]}}`,
		order, version, kind, key)
}

func request(order, key, outcome string) string {
	return fmt.Sprintf(`{"at":"2026-01-01T00:00:00Z","key":%q,"order":%q,"activity":"hss.create","outcome":%q}`, key, order, outcome)
}

func write(t *testing.T, name string, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// whole is the history of one order with one activity.
func whole(order, key string) []string {
	return []string{
		event(order, 1, "order.accepted", ""),
		scheduled(order, 2, key),
		event(order, 3, "attempt.succeeded", key),
		event(order, 4, "order.completed", ""),
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	type found map[checker.Kind]string // kind → what the first violation must mention
	for name, tt := range map[string]struct {
		log, histories []string
		want           found
		counts         checker.Report // only the numbers that differ from zero are compared
	}{
		"once and wholly": {
			log:       []string{request("o1", "k1", "refused"), request("o1", "k1", "applied"), request("o1", "k1", "repeated")},
			histories: whole("o1", "k1"),
			counts:    checker.Report{Orders: 1, Ended: 1, Events: 4, Scheduled: 1, Succeeded: 1, Requests: 3, Applied: 1, Repeated: 1, Refused: 1},
		},
		"mixed orders": {
			log: []string{request("o1", "k1", "applied"), request("o2", "k2", "applied")},
			histories: []string{
				event("o1", 1, "order.accepted", ""), event("o2", 1, "order.accepted", ""),
				scheduled("o2", 2, "k2"), scheduled("o1", 2, "k1"), scheduled("o1", 3, "k1"),
			},
			counts: checker.Report{Orders: 2, Events: 5, Scheduled: 2, Applied: 2},
		},
		"applied twice": {
			log:       []string{request("o1", "k1", "applied"), request("o1", "k1", "applied"), request("o1", "k1", "applied")},
			histories: whole("o1", "k1"),
			want:      found{checker.Duplicated: "log:2"},
			counts:    checker.Report{Duplicated: 2},
		},
		"succeeded but never applied": {
			log:       []string{request("o1", "k1", "applied"), request("o2", "k2", "refused")},
			histories: append(whole("o1", "k1"), whole("o2", "k2")...),
			want:      found{checker.Missing: "histories:7"},
			counts:    checker.Report{Missing: 1},
		},
		"repeated without an application": {
			log:       []string{request("o1", "k1", "repeated")},
			histories: whole("o1", "k1"),
			want:      found{checker.Missing: "histories:3"},
		},
		"applied, but by nobody": {
			log:       []string{request("o1", "k1", "applied"), request("o1", "other", "applied")},
			histories: whole("o1", "k1"),
			want:      found{checker.Unexplained: "log:2"},
			counts:    checker.Report{Unexplained: 1},
		},
		"a history that succeeds without having scheduled": {
			log:       []string{request("o1", "k1", "applied")},
			histories: []string{event("o1", 1, "attempt.succeeded", "k1")},
			want:      found{checker.Unexplained: "log:1"},
		},
		"a version left out": {
			log:       []string{request("o1", "k1", "applied")},
			histories: append(whole("o1", "k1")[:2], whole("o1", "k1")[3]),
			want:      found{checker.HistoryGap: "version 4 stands where version 3 belongs"},
			counts:    checker.Report{HistoryGaps: 1},
		},
		"a version twice": {
			log:       []string{request("o1", "k1", "applied")},
			histories: append(whole("o1", "k1"), whole("o1", "k1")[3]),
			want:      found{checker.HistoryGap: "version 4 stands where version 5 belongs"},
		},
		"a history without its beginning": {
			log:       []string{request("o1", "k1", "applied")},
			histories: whole("o1", "k1")[1:],
			want:      found{checker.HistoryGap: "version 2 stands where version 1 belongs"},
		},
		"everything wrong at once": {
			log:       []string{request("o1", "k1", "applied"), request("o1", "k1", "applied"), request("o9", "k9", "applied")},
			histories: append(whole("o1", "k1"), whole("o2", "k2")[1:]...),
			want: found{
				checker.Duplicated: "log:2", checker.Unexplained: "log:3",
				checker.Missing: "histories:6", checker.HistoryGap: "histories:5",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := checker.Files(t.Context(), []string{write(t, "log", tt.log...)}, []string{write(t, "histories", tt.histories...)})
			if err != nil {
				t.Fatal(err)
			}
			if r.Pass != (len(tt.want) == 0) {
				t.Errorf("pass is %t", r.Pass)
			}
			kinds := map[checker.Kind]bool{}
			for _, v := range r.Violations {
				if mention := v.Where + " " + v.Detail; !kinds[v.Kind] && (tt.want[v.Kind] == "" || !strings.Contains(mention, tt.want[v.Kind])) {
					t.Errorf("%s: got %q, want a mention of %q", v.Kind, mention, tt.want[v.Kind])
				}
				kinds[v.Kind] = true
			}
			if len(kinds) != len(tt.want) {
				t.Errorf("violations %+v, want the kinds %v", r.Violations, tt.want)
			}
			compare(t, r, &tt.counts)
		})
	}
}

func compare(t *testing.T, got, want *checker.Report) {
	t.Helper()
	for name, n := range map[string][2]int64{
		"orders": {got.Orders, want.Orders}, "ended": {got.Ended, want.Ended}, "events": {got.Events, want.Events},
		"scheduled": {got.Scheduled, want.Scheduled}, "succeeded": {got.Succeeded, want.Succeeded},
		"requests": {got.Requests, want.Requests}, "applied": {got.Applied, want.Applied},
		"repeated": {got.Repeated, want.Repeated}, "refused": {got.Refused, want.Refused},
		"duplicated": {got.Duplicated, want.Duplicated}, "missing": {got.Missing, want.Missing},
		"unexplained": {got.Unexplained, want.Unexplained}, "history_gaps": {got.HistoryGaps, want.HistoryGaps},
	} {
		if n[1] != 0 && n[0] != n[1] {
			t.Errorf("%s is %d, want %d", name, n[0], n[1])
		}
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	good, goodLog := write(t, "histories", whole("o1", "k1")...), write(t, "log", request("o1", "k1", "applied"))
	for name, tt := range map[string]struct{ log, histories, want string }{
		"no such log":          {log: "nowhere", histories: good, want: "nowhere"},
		"no such histories":    {log: goodLog, histories: "nowhere", want: "nowhere"},
		"log is no JSON":       {log: write(t, "log", "applied"), histories: good, want: "log:1: is no JSON"},
		"unknown outcome":      {log: write(t, "log", request("o1", "k1", "done")), histories: good, want: `"outcome" is "done"`},
		"request without key":  {log: write(t, "log", request("o1", "", "applied")), histories: good, want: `a "key"`},
		"event without order":  {log: goodLog, histories: write(t, "histories", event("", 1, "order.accepted", "")), want: `"order" is missing`},
		"event without type":   {log: goodLog, histories: write(t, "histories", event("o1", 1, "", "")), want: `a "type"`},
		"attempt without key":  {log: goodLog, histories: write(t, "histories", event("o1", 1, "attempt.scheduled", "")), want: `must have a "key"`},
		"history is cut short": {log: goodLog, histories: tornFile(t, good), want: "cut short"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := checker.Files(t.Context(), []string{tt.log}, []string{tt.histories})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want a mention of %q", err, tt.want)
			}
		})
	}
	if _, err := checker.Files(t.Context(), nil, []string{good}); err == nil {
		t.Error("comparing without a log is no proof, and must fail")
	}
}

// tornFile copies a file without its last bytes.
func tornFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "torn")
	if err := os.WriteFile(path, b[:len(b)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTornLog(t *testing.T) {
	t.Parallel()
	log := tornFile(t, write(t, "log", request("o1", "k1", "applied"), request("o1", "k1", "applied")))
	r, err := checker.Files(t.Context(), []string{log}, []string{write(t, "histories", whole("o1", "k1")...)})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Pass || r.Torn != 1 || r.Applied != 1 {
		t.Errorf("a line that was never answered counts: %+v", r)
	}
}

func TestListIsBounded(t *testing.T) {
	t.Parallel()
	var log []string
	for i := range 3 * checker.Listed {
		log = append(log, request("o2", fmt.Sprint("x", i), "applied"))
	}
	r, err := checker.Files(t.Context(), []string{write(t, "log", log...)}, []string{write(t, "histories", whole("o1", "k1")...)})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Violations) != checker.Listed || r.Unexplained != 3*checker.Listed || r.Missing != 1 {
		t.Errorf("%d listed, %d unexplained, %d missing", len(r.Violations), r.Unexplained, r.Missing)
	}
}

// TestMemory reads lines that are far longer than what may be kept of them.
//
//nolint:paralleltest // it measures the memory of the whole process
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 20,000 lines")
	}
	const keys, bound = 10_000, 100
	pad := strings.Repeat("k", 200)
	var log, histories []string
	histories = append(histories, event("o1", 1, "order.accepted", ""))
	for i := range keys {
		key := fmt.Sprint(pad, i)
		log = append(log, request("o1", key, "applied"))
		histories = append(histories, scheduled("o1", i+2, key))
	}
	logFile, historyFile := write(t, "log", log...), write(t, "histories", histories...)
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	keep, err := checker.Measure(t.Context(), logFile, historyFile)
	if err != nil {
		t.Fatal(err)
	}
	if after := used(); after > before+keys*bound {
		t.Errorf("%d bytes per key are kept, more than %d", (after-before)/keys, bound)
	}
	runtime.KeepAlive(keep)
	runtime.KeepAlive(log)
	runtime.KeepAlive(histories)
}
