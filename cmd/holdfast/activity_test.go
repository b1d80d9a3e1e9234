package main

import (
	"regexp"
	"strings"
	"testing"
)

func TestAdapterLimit(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	f.startNode()
	file := f.file("one.yaml", "document: {dsl: '1.0.3', namespace: t, name: one, version: '1.0.0'}\ndo: [{a: {call: away.do}}]\n")
	if o := f.run("definition", "deploy", file); o.status != 0 {
		t.Fatal(o)
	}
	if o := f.run("order", "submit", "--definition", "t/one:1.0.0", "--id", "a"); o.status != 0 {
		t.Fatal(o)
	}
	f.run("adapter", "limit", "away.do", "--rate", "2.5", "--concurrency", "3", "--by", "jane", "--reason", "tests").want(t, 0,
		"away.do is limited to 2.5/s, 3 at a time\n", "")
	list := func(args ...string) string {
		t.Helper()
		o := f.run(append([]string{"adapter", "list"}, args...)...)
		if o.status != 0 || o.stderr != "" {
			t.Fatal(o)
		}
		return o.stdout
	}
	if got := list(); !regexp.MustCompile(`away\.do +0 +1 +0 +0 .*2\.5/s, 3 at a time, by jane: tests\n$`).MatchString(got) {
		t.Errorf("adapter list:\n%s", got)
	}
	got := regexp.MustCompile(`"20[^"]*Z"|"age_s":[0-9.e-]+`).ReplaceAllString(list("-o", "json"), "X")
	if want := `{"activity":"away.do","adapters":0,"waiting":1,"overflow":0,"in_flight":0,X,"rate_per_s":0,` +
		`"limit":{"rate_per_s":2.5,"concurrency":3,"set_at":X,"by":"jane","reason":"tests"},"away":0,"away_until":null,"suspects":0,"redelivered":0,"quarantined":0}` + "\n"; got != want {
		t.Errorf("adapter list -o json:\n%s\nwant\n%s", got, want)
	}
	f.run("adapter", "limit", "away.do", "--none").want(t, 0, "away.do has no limit any more\n", "")
	f.run("adapter", "limit", "away.do", "--none", "-o", "json").want(t, 0, `{"activity":"away.do","limit":null,"unknown":false}`+"\n", "")
	const warning = "warning: no adapter offers away.nosuch now, and no deployed definition calls it: see holdfast adapter list\n"
	f.run("adapter", "limit", "away.nosuch", "--rate", "1").want(t, 0, "away.nosuch is limited to 1/s\n", warning)
	f.run("adapter", "limit", "away.nosuch", "--rate", "1", "--by", "jane", "-o", "json").want(t, 0,
		`{"activity":"away.nosuch","limit":{"rate_per_s":1,"concurrency":0,"by":"jane","reason":""},"unknown":true}`+"\n", warning)
	if got := list(); strings.Contains(got, "at a time") {
		t.Errorf("the limit is still told:\n%s", got)
	}
	for _, args := range [][]string{{"away.do"}, {"away.do", "--none", "--rate", "1"}, {"--none"}, {"a.b", "c.d", "--none"}} {
		if o := f.run(append([]string{"adapter", "limit"}, args...)...); o.status != exitUsage {
			t.Errorf("%v: %+v", args, o)
		}
	}
	o := f.run("adapter", "limit", "away", "--rate", "-1")
	if o.status != exitError || !strings.Contains(o.stderr, "activity") || !strings.Contains(o.stderr, "must not be negative") {
		t.Errorf("bad limit: %+v", o)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	f.startNode()
	o := f.run("status")
	if o.status != 0 || !regexp.MustCompile(`(?s)^attention +none is needed\nnode +\S+\nversion +\S+\nup for +\S+\nopen orders +0, 0 .*\ntasks +0 wait`).MatchString(o.stdout) {
		t.Errorf("status: %+v", o)
	}
	if o := f.run("status", "-o", "json"); o.status != 0 || !strings.Contains(o.stdout, `"ready":true,"unready":"","faulted":0,"in_doubt":0,"suspended":0,"keys_held":0,"unserved":[],"unserved_count":0,"unloadable":[],"unloadable_count":0,"open":0,`) {
		t.Errorf("status -o json: %+v", o)
	}
	f = faultyNode(t)
	f.must("order", "suspend", "w")
	call := f.file("call.yaml", "document: {dsl: '1.0.3', namespace: t, name: c, version: '1.0.0'}\ndo: [{a: {call: away.do}}]\n")
	f.must("definition", "deploy", call)
	f.must("order", "submit", "--definition", "t/c")
	if got, want := f.must("status"), "attention    3 orders have faulted: holdfast fallout list\n"+
		"attention    1 order is suspended: holdfast order list --status suspended\n"+
		"attention    tasks wait for adapters that are not there: away.do\n"+
		"node"; !strings.HasPrefix(got, want) {
		t.Errorf("status:\n%s", got)
	}
}
