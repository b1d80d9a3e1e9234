package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// times replaces what differs from run to run.
func times(text string) string {
	return regexp.MustCompile(`20\d\d-[-0-9T:.]+Z`).ReplaceAllString(text, "TIME")
}

// faultyNode runs a node with orders f0, f1 and f2 that have faulted, the last with another error, and one that waits.
func faultyNode(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t}
	f.startNode()
	refuse := f.file("refuse.yaml", "document: {dsl: '1.0.3', namespace: t, name: f, version: '1.0.0'}\n"+
		"do: [{a: {set: {n: '${ .n }'}}}, {b: {switch: [{bad: {when: '.n > 0', then: c}}, {good: {then: end}}]}},\n"+
		"  {c: {raise: {error: {type: 'https://example.com/boom', title: '${ \"boom \\(.n)\" }', status: 500}}}}]\n")
	wait := f.file("wait.yaml", "document: {dsl: '1.0.3', namespace: t, name: w, version: '1.0.0'}\ndo: [{a: {wait: PT1H}}]\n")
	f.must("definition", "deploy", refuse, wait)
	for i, n := range []int{1, 1, 2} {
		f.stdin = fmt.Sprintf(`{"n":%d}`, n)
		f.run("order", "submit", "--definition", "t/f:1.0.0", "--id", fmt.Sprint("f", i), "--input", "-", "--wait", "-q")
	}
	f.must("order", "submit", "--definition", "t/w", "--id", "w")
	f.stdin = ""
	return f
}

// must runs a command that succeeds, and returns what it printed.
func (f *fake) must(args ...string) string {
	f.t.Helper()
	o := f.run(args...)
	if o.status != 0 {
		f.t.Fatalf("%s: %+v", args, o)
	}
	return o.stdout
}

func TestFalloutList(t *testing.T) {
	t.Parallel()
	f := faultyNode(t)
	if got, want := strings.ReplaceAll(times(f.must("fallout", "list")), "TIME"+"  TIME", "TIMES"), strings.Join([]string{
		"ORDERS  DEFINITION  TASK     ERROR TYPE                ERROR   DETAIL  OLDEST                    NEWEST                    EXAMPLE",
		"2       t/f:1.0.0   /do/2/c  https://example.com/boom  boom 1          TIMES  f1",
		"1       t/f:1.0.0   /do/2/c  https://example.com/boom  boom 2          TIMES  f2",
		"",
	}, "\n"); got != want {
		t.Errorf("fallout list:\n%s\nwant\n%s", got, want)
	}
	if o := f.run("fallout", "list", "--limit", "1"); o.stderr != "1 more order is in groups that are not listed\n" {
		t.Errorf("fallout list with a limit: %+v", o)
	}
	const group = `{"count":1,"definition":"t/f:1.0.0","task":"/do/2/c","error_type":"https://example.com/boom","error_title":"boom 2","error_detail":"",` +
		`"oldest":"TIME","newest":"TIME","example_id":"f2"}` + "\n"
	got := times(f.must("fallout", "list", "-o", "json", "--definition", "t/f", "--task", "/do/2/c", "--error-type", "https://example.com/boom",
		"--error", "boom 2", "--since", "1h", "--until", "0s"))
	if got != group {
		t.Errorf("fallout list -o json:\n%s", got)
	}
	if got := f.must("fallout", "list", "-o", "json", "--until", "1h"); got != "" {
		t.Errorf("fallout of an hour ago:\n%s", got)
	}

	shown := f.must("fallout", "show", "f0")
	for _, want := range []string{"status       faulted\n", "stands at    /do/2/c\n", `task input   {"n":1}` + "\n", "error        boom 1 (500), at /do/2/c\n"} {
		if !strings.Contains(shown, want) {
			t.Errorf("fallout show misses %q:\n%s", want, shown)
		}
	}
	got = times(f.must("fallout", "show", "f0", "-o", "json"))
	if !strings.HasPrefix(got, `{"order":{"id":"f0",`) ||
		!strings.HasSuffix(got, `"task":"/do/2/c","input":{"n":1},"holds_key":false,"in_doubt":[],"late_results":[],"compensable":[],"more_in_doubt":0,"more_late_results":0,"more_compensable":0}`+"\n") {
		t.Errorf("fallout show -o json:\n%s", got)
	}
	if o := f.run("order", "get", "none"); o.stderr != "holdfast: order none: not found (NOT_FOUND)\n  reason: NO_SUCH_ORDER\n" {
		t.Errorf("an unknown order: %+v", o)
	}
	if o := f.run("fallout", "show", "none"); o.status != exitError || !strings.Contains(o.stderr, "NO_SUCH_ORDER") {
		t.Errorf("fallout show of an unknown order: %+v", o)
	}
	for args, want := range map[string]string{
		"__complete fallout retry f":             "f2\tfaulted t/f:1.0.0\nf1\tfaulted t/f:1.0.0\nf0\tfaulted t/f:1.0.0\n:4\n",
		"__complete fallout retry f0 f2 f":       "f1\tfaulted t/f:1.0.0\n:4\n",
		"__complete fallout show f0 f":           ":4\n",
		"__complete order suspend w":             "w\twaiting t/w:1.0.0\n:4\n",
		"__complete fallout list --definition t": "t/f:1.0.0\nt/w:1.0.0\n:4\n",
	} {
		if got := f.must(strings.Fields(args)...); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
}

func TestFalloutOneOrder(t *testing.T) {
	t.Parallel()
	f := faultyNode(t)
	result := f.file("result.json", "[7]")
	if got := f.must("fallout", "retry", "f0", "--reason", "try", "--not-done"); !strings.Contains(got, "status       faulted\n") {
		t.Errorf("a retry that faults again:\n%s", got)
	}
	if o := f.run("fallout", "skip", "f0", "--result", result, "--dry-run"); o.status != 0 || !strings.Contains(o.stdout, "order.skipped") ||
		!strings.Contains(o.stderr, "nothing was done; the order would be completed") {
		t.Errorf("a dry run: %+v", o)
	}
	if got := f.must("fallout", "skip", "f0", "--result", result, "--by", "jane", "--reason", "by phone"); !strings.Contains(got, "output       [7]\n") {
		t.Errorf("fallout skip:\n%s", got)
	}
	if got := f.must("order", "history", "f0"); !strings.Contains(got, "by phone  by jane  [7]\n") || !strings.Contains(got, "order.skipped") ||
		!strings.Contains(got, "  not done") || !strings.Contains(got, "order.retried") {
		t.Errorf("the history:\n%s", got)
	}
	f.run("fallout", "retry", "f0").want(t, exitError, "",
		"holdfast: order has not faulted (FAILED_PRECONDITION)\n  reason: ORDER_NOT_FAULTED\n"+
			"See how order f0 stands with: holdfast order get f0\n")
	f.stdin = `{"n":0}`
	if got := f.must("order", "restart", "f1", "--from", "/do/1/b", "--input", "-", "-o", "json"); !strings.Contains(got, `"output":{"n":0}`) {
		t.Errorf("order restart:\n%s", got)
	}
	if got := f.must("fallout", "cancel", "f2", "--reason", "no more"); !strings.Contains(got, "status       cancelled\n") {
		t.Errorf("fallout cancel:\n%s", got)
	}
	if got := f.must("order", "suspend", "w", "-o", "json"); !strings.Contains(got, `"status":"suspended"`) {
		t.Errorf("order suspend:\n%s", got)
	}
	if got := f.must("order", "resume", "w", "-o", "json"); !strings.Contains(got, `"status":"waiting"`) {
		t.Errorf("order resume:\n%s", got)
	}
	if got := f.must("order", "fault", "w", "--title", "Wrong number", "--reason", "a typing error"); !strings.Contains(got,
		"error        Wrong number (500): a typing error\n") {
		t.Errorf("order fault:\n%s", got)
	}
	for _, what := range []string{"suspend", "resume"} {
		if got := f.run("order", what, "w"); got.status != exitError || !strings.Contains(got.stderr, "waits for an operator") ||
			strings.Contains(got.stderr, "has ended") {
			t.Errorf("order %s of a faulted one: %+v", what, got)
		}
	}
	if got := f.must("order", "complete", "w", "--result", result, "-o", "json"); !strings.Contains(got, `"output":[7]`) {
		t.Errorf("order complete:\n%s", got)
	}
	for _, what := range []string{"fault", "complete", "suspend", "resume", "cancel"} {
		if got := f.run("order", what, "w"); got.status != exitError || !strings.Contains(got.stderr, "it is completed") {
			t.Errorf("order %s of a completed one: %+v", what, got)
		}
	}
}

func TestFalloutManyOrders(t *testing.T) {
	t.Parallel()
	f := faultyNode(t)
	const counted = "2 orders are selected. Go on? [y/N] "
	f.stdin = "n\n"
	f.run("fallout", "skip", "--error", "boom 1").want(t, exitError, "", counted+"holdfast: nothing was done: answer y, or give --yes\n")
	f.stdin = ""
	f.run("fallout", "skip", "--error", "boom 1").want(t, exitError, "", counted+"\nholdfast: nothing was done: answer y, or give --yes\n")
	f.stdin = "yes\n"
	f.run("fallout", "skip", "--error", "boom 1", "-o", "json", "--label", "none=1").want(t, 0, "", "no order is selected\n")
	o := f.run("fallout", "skip", "--error", "boom 1")
	if o.status != 0 || o.stderr != counted+"2 accepted, 0 refused\n" || !strings.Contains(o.stdout, "f0  accepted\n") || !strings.Contains(o.stdout, "f1  accepted\n") {
		t.Errorf("fallout skip of a selection: %+v", o)
	}
	o = f.run("fallout", "cancel", "f0", "f2", "-o", "json")
	if o.status != exitError || o.stderr != "1 accepted, 1 refused\nholdfast: 1 of 2 orders were refused\n" ||
		!strings.Contains(o.stdout, `{"id":"f2","accepted":true,"code":"OK"}`+"\n") ||
		!strings.Contains(o.stdout, `{"id":"f0","accepted":false,"code":"FAILED_PRECONDITION","reason":"ORDER_ENDED","message":"order has ended: it is completed"}`+"\n") {
		t.Errorf("fallout cancel of those named: %+v", o)
	}
	f.run("order", "suspend", "--all", "--yes").want(t, 0, "ID  RESULT\nw   accepted\n", "1 accepted, 0 refused\n")
	f.run("order", "resume", "--definition", "t/w", "-y").want(t, 0, "ID  RESULT\nw   accepted\n", "1 accepted, 0 refused\n")
	for args, want := range map[string]string{
		"fallout retry":                      "name orders, or select them with flags, or all with --all",
		"fallout retry --all f0":             "--all and a selection exclude each other",
		"fallout retry a/b":                  `order id "a/b" has the byte '/'`,
		"fallout retry f0 --deadline soon":   `--deadline "soon" is neither`,
		"fallout skip --label x":             `--label "x" is not of the form name=value`,
		"fallout list --since soon":          `--since "soon" is neither`,
		"order restart f0":                   "--from is missing",
		"order suspend w --task /do/0/a":     "unknown flag: --task",
		"fallout":                            "a command is missing",
		"order complete f0 --admin :1":       "--admin",
		"fallout show":                       "give one order id",
		"fallout skip f0 --not-done":         "unknown flag: --not-done",
		"fallout cancel --until -1s --error": "flag needs an argument",
	} {
		if got := f.run(strings.Fields(args)...); got.status != exitUsage || !strings.Contains(got.stderr, want) || got.stdout != "" {
			t.Errorf("%s: %+v\nwant %q", args, got, want)
		}
	}
	bad := f.file("bad.json", "{")
	if got := f.run("fallout", "retry", "f0", "--input", bad); got.status != exitError || !strings.Contains(got.stderr, "bad.json:1:1: not one JSON value") {
		t.Errorf("input that is no JSON: %+v", got)
	}
}
