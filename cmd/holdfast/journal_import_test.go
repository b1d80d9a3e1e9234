package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
)

// newPostgres starts a PostgreSQL server with so many databases, and returns the settings of a node that has its journal there. Without
// PostgreSQL the test is skipped, and says so.
func newPostgres(t *testing.T, shards int) []string {
	t.Helper()
	bin, err := pgserver.Programs()
	if err != nil {
		t.Skipf("SKIPPED: nothing is imported: %v", err)
	}
	dir, err := os.MkdirTemp("", "holdfast-postgres") //nolint:usetesting // the user that the server runs as must get in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := pgserver.Make(t.Context(), bin, dir)
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	conn, err := pgx.Connect(t.Context(), server.Address("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // a test
	var settings []string
	for n := range shards {
		name := fmt.Sprint("shard", n)
		if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
			t.Fatal(err)
		}
		settings = append(settings, "--journal", server.Address(name))
	}
	return settings
}

// A node that has outgrown its machine: what was open on the embedded journal, and waits for a time, for an adapter, or for its turn, goes
// on and completes on PostgreSQL, in its order, and what was done before is not done again. An import that is killed goes on with the
// next; until it is complete no node starts there, and afterwards none on the data directory.
func TestImportEndToEnd(t *testing.T) {
	t.Parallel()
	journal := newPostgres(t, 2)
	p := newPlace(t)
	data := filepath.Join(p.dir, "data")
	node := p.node(t, "--data", data, "--long-wait", "1ms")
	adapter := p.adapter(t)
	p.deploy(t, map[string]string{
		"call":  "  - first: {call: bench.echo, with: {a: 1}}\n  - call: {call: bench.echo, with: {b: 2}}\n",
		"timer": "  - first: {call: bench.echo, with: {a: 1}}\n  - pause: {wait: {seconds: 25}}\n  - last: {call: bench.echo, with: {c: 3}}\n",
		"adapt": "  - first: {call: bench.echo, with: {a: 1}}\n  - away: {call: other.thing, with: {a: 1}}\n",
	})
	submit := func(id, definition string, more ...string) {
		t.Helper()
		p.run(t, exitOK, append([]string{"order", "submit", "--definition", "place/" + definition, "--id", id}, more...)...)
	}
	for n := range 30 {
		submit(fmt.Sprint("done-", n), "call", "--label", fmt.Sprint("n=", n))
	}
	p.run(t, exitOK, "order", "watch", "done-29")
	submit("timer", "timer")
	p.awaitStatus(t, "timer", "waiting")
	stop(t, adapter)
	submit("head", "call", "--key", "subscriber")
	for n := range 3 {
		submit(fmt.Sprint("queued-", n), "call", "--key", "subscriber")
	}
	submit("called", "call")
	submit("away", "adapt")
	p.run(t, exitOK, "adapter", "limit", "bench.echo", "--rate", "500")
	histories := map[string]string{}
	for _, id := range []string{"done-0", "done-29", "timer", "head", "queued-2", "called", "away"} {
		histories[id] = p.run(t, exitOK, "order", "history", id, "-o", "json")
	}
	imports := append([]string{"journal", "import", "--from", data}, journal...)
	if out := p.run(t, exitError, imports...); !strings.Contains(out, "in use") {
		t.Errorf("the journal of a node that runs is moved: %s", out)
	}
	stop(t, node)
	killed, out := startProcess(t, p.environ, imports...)
	out.await(t, "verifying the journal", 1)
	_ = killed.Process.Kill()
	_ = killed.Wait()
	if out := p.run(t, exitOK, imports...); !strings.Contains(out, "37 orders (7 open)") || !strings.Contains(out, "are the same") {
		t.Errorf("the import says:\n%s", out)
	}
	if out := p.run(t, exitOK, imports...); !strings.Contains(out, "was moved before") {
		t.Errorf("again, it says:\n%s", out)
	}
	old, started := startProcess(t, p.environ, "node", "--data", data, "--listen", p.listen, "--admin-listen", p.admin)
	if wait(t, old); old.ProcessState.ExitCode() != exitError || !strings.Contains(started.String(), "moved to PostgreSQL") {
		t.Errorf("a node on what was moved: %v\n%s", old.ProcessState, started)
	}
	p.node(t, journal...)
	for id, before := range histories {
		if now := p.run(t, exitOK, "order", "history", id, "-o", "json"); !strings.HasPrefix(now, strings.TrimRight(before, "\n")) {
			t.Errorf("the history of %s was\n%s\nand is\n%s", id, before, now)
		}
	}
	if out := p.run(t, exitOK, "adapter", "list", "-o", "json"); !strings.Contains(out, "500") {
		t.Errorf("the limit is lost: %s", out)
	}
	p.adapter(t)
	for _, id := range []string{"called", "head", "queued-0", "queued-1", "queued-2", "timer"} {
		p.run(t, exitOK, "order", "watch", id)
	}
	p.awaitStatus(t, "away", "waiting", "running")
	if n := strings.Count(p.run(t, exitOK, "order", "history", "timer", "-o", "json"), `"/do/0/first"`); n != strings.Count(histories["timer"], `"/do/0/first"`) {
		t.Error("what was done before was done again")
	}
	p.run(t, exitOK, "order", "cancel", "away")
}

// awaitStatus waits until an order has one of these states.
func (p *place) awaitStatus(t *testing.T, id string, statuses ...string) {
	t.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for late := time.Now().Add(30 * time.Second); time.Now().Before(late); <-poll.C {
		out := p.run(t, exitOK, "order", "get", id, "-o", "json")
		for _, status := range statuses {
			if strings.Contains(out, `"`+status+`"`) {
				return
			}
		}
	}
	t.Fatalf("%s does not get to %v", id, statuses)
}
