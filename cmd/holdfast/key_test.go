package main

import (
	"regexp"
	"strings"
	"testing"
)

func TestKey(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	f.startNode()
	file := f.file("fault.yaml", "document: {dsl: '1.0.3', namespace: t, name: f, version: '1.0.0'}\n"+
		"do: [{a: {raise: {error: {type: 'https://example.com/boom', status: 500}}}}]\n")
	f.run("definition", "deploy", file).want(t, 0, "t/f:1.0.0\n", "")
	f.run("order", "submit", "--definition", "t/f:1.0.0", "--id", "a", "--key", "k", "--wait", "-o", "json")
	for _, id := range []string{"b", "c"} {
		if o := f.run("order", "submit", "--definition", "t/f:1.0.0", "--id", id, "--key", "k"); o.status != 0 {
			t.Fatal(o)
		}
	}
	show := func(args ...string) string {
		t.Helper()
		o := f.run(append([]string{"key", "show"}, args...)...)
		if o.status != 0 {
			t.Fatal(o)
		}
		text := regexp.MustCompile(`"20[^"]*Z"`).ReplaceAllString(o.stdout, "TIME")
		return regexp.MustCompile(`\d+s\n`).ReplaceAllString(text, "AGE\n") + o.stderr
	}
	if got, want := show("k"), strings.Join([]string{
		"POSITION  ID  STATUS                  DEFINITION  AGE",
		"0         a   faulted, holds the key  t/f:1.0.0   AGE",
		"1         b   pending                 t/f:1.0.0   AGE",
		"2         c   pending                 t/f:1.0.0   AGE",
		"",
	}, "\n"); got != want {
		t.Errorf("key show:\n%s\nwant\n%s", got, want)
	}
	if got := show("k", "--limit", "2"); !strings.HasSuffix(got, "f:1.0.0   AGE\n1 more wait; --limit 0 lists all\n") || strings.Count(got, "\n") != 4 {
		t.Errorf("key show with a limit:\n%s", got)
	}
	if got := show("k", "--limit", "3"); strings.Contains(got, "more") || strings.Count(got, "\n") != 4 {
		t.Errorf("key show with a limit that is enough:\n%s", got)
	}
	if o := f.run("key", "show", "k", "--limit", "-1"); o.status != exitUsage || !strings.Contains(o.stderr, "--limit -1 is negative") {
		t.Errorf("a negative limit: %+v", o)
	}
	f.run("key", "show", "none", "-o", "json").want(t, 0, "", "no order has the key, or waits for it\n")
	const held = `{"position":0,"id":"a","status":"faulted","definition":"t/f:1.0.0","holds_key":true,"accepted_at":TIME,"ended_at":TIME}` + "\n"
	if got := show("k", "-o", "json"); !strings.HasPrefix(got, held) || strings.Count(got, "\n") != 3 {
		t.Errorf("key show -o json:\n%s", got)
	}
	f.run("key", "release", "k", "--id", "b").want(t, exitError, "",
		"holdfast: order b has not faulted: cancel it, or wait for its end: order does not hold its key (FAILED_PRECONDITION)\n"+
			"  reason: KEY_NOT_HELD\n")
	f.run("key", "release", "k", "--by", "jane", "--reason", "corrected").want(t, 0, "a no longer holds the key\n", "")
	f.run("key", "release", "k", "--id", "a", "-o", "json").want(t, 0, `{"released":"a"}`+"\n", "") // again
	if o := f.run("order", "history", "a"); !strings.Contains(o.stdout, "key.released                      corrected  by jane\n") {
		t.Errorf("history:\n%s", o.stdout)
	}
	if o := f.run("key", "show"); o.status != exitUsage || !strings.Contains(o.stderr, "give one order key") {
		t.Errorf("no key: %+v", o)
	}
	if o := f.run("key", "show", "k", "--admin", ":1"); o.status != exitUsage || !strings.Contains(o.stderr, "--admin") {
		t.Errorf("bad address: %+v", o)
	}
	o := f.run("key", "show", "k", "--admin", "127.0.0.1:1")
	if o.status != exitError || !strings.Contains(o.stderr, "No node answers at 127.0.0.1:1.") ||
		!strings.Contains(o.stderr, "with --admin or HOLDFAST_ADMIN.") {
		t.Errorf("no node: %+v", o)
	}
}
