package pebble_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
	"github.com/holdfast-run/holdfast/persistence/pebble"
)

// childDir is the variable of the environment that makes the test's program a process to be killed.
const childDir = "HOLDFAST_TEST_JOURNAL"

// runChild accepts orders and goes on with them until it is killed, and prints the id and version of each commit that was
// confirmed.
func runChild(dir string) {
	j, err := pebble.Open(pebble.Config{Dir: dir, MemTableBytes: 1 << 20, LowWaterBytes: -1})
	if err != nil {
		fmt.Fprintln(os.Stdout, "error", err)
		os.Exit(1)
	}
	epochs, err := journaltest.Own(context.Background(), j)
	if err != nil {
		fmt.Fprintln(os.Stdout, "error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			done := make(chan error, 1)
			for {
				c := journaltest.Acceptance(string(messages.NewOrderID()))
				id := c.ID
				for range 4 {
					c.Done = func(err error) { done <- err }
					j.Commit(c)
					if err := <-done; err != nil {
						fmt.Fprintln(os.Stdout, "error", err)
						os.Exit(1)
					}
					out.Lock()
					fmt.Fprintln(os.Stdout, id, c.Expected+1)
					out.Unlock()
					c = &persistence.Commit{
						Partition: c.Partition, Epoch: epochs[c.Partition], Handle: c.Handle, Expected: c.Expected + 1, Events: 1, Record: c.Record,
					}
				}
			}
		})
	}
	workers.Wait()
}

// TestKilledProcess kills a process that has a journal open, again and again: what it confirmed is there.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	confirmed := make(map[messages.OrderID]messages.Version)
	for round := range 4 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var id messages.OrderID
			var version messages.Version
			if _, err := fmt.Sscan(lines.Text(), &id, &version); err != nil {
				t.Fatalf("the process says: %s", lines.Text())
			}
			confirmed[id] = version
			if n == 0 {
				_, err := pebble.Open(pebble.Config{Dir: dir, Logger: discard()})
				if err == nil || !strings.Contains(err.Error(), "in use") {
					t.Errorf("open what another process has: %v", err)
				}
			}
			if n == 300*(round+1) {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait() // It was killed.
		report, err := pebble.Verify(t.Context(), pebble.Check{Dir: dir})
		if err != nil || report.ProblemCount > 0 || report.Orders < int64(len(confirmed)) {
			t.Fatalf("after the kill: %+v, %v", report, err)
		}
	}
	j := diskStore(dir).Open(t)
	for id, version := range confirmed {
		entry, err := j.Find(t.Context(), id)
		if err != nil {
			t.Fatalf("a confirmed order is lost: %v", err)
		}
		last := messages.Version(0)
		for r, err := range j.Records(t.Context(), entry.Handle, 0) {
			if err != nil {
				t.Fatal(err)
			}
			last = r.First
		}
		if last < version {
			t.Errorf("order %s: version %d was confirmed, %d is there", id, version, last)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d orders were confirmed", len(confirmed))
}
