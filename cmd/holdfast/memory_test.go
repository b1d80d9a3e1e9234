package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// whole is what all shares of a configuration have together.
func (s shared) whole() (sum int64) {
	for _, bytes := range s {
		sum += bytes
	}
	return sum
}

// The shares never have more than the memory, whatever is given, and nearly all of it if nothing is.
func TestSharesOfMemory(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, c := range map[string]struct {
		config nodeConfig
		memory int64            // that it comes to
		has    map[string]int64 // of some shares
	}{
		"nothing given":                 {nodeConfig{}, 1 << 30, map[string]int64{"cache": (1 << 30) / 100 * 19}},
		"of a cgroup":                   {nodeConfig{limit: 10 << 30}, (10 << 30) / 100 * 80, nil},
		"of a little cgroup":            {nodeConfig{limit: 100 * mib}, leastMemory, nil},
		"memory given, beside a cgroup": {nodeConfig{limit: 10 << 30, Memory: 512 * mib}, 512 * mib, nil},
		"the least":                     {nodeConfig{Memory: leastMemory}, leastMemory, nil},
		"much":                          {nodeConfig{Memory: 100 << 30}, 100 << 30, nil},
		"no cache": {
			nodeConfig{Memory: 1 << 30, Shared: postgres.Config{Shards: []string{"of one"}}},
			1 << 30,
			map[string]int64{"cache": 0, "resident": (1 << 30) / 81 * 13},
		},
		"odd": {nodeConfig{Memory: 1<<30 + 7}, 1<<30 + 7, nil},
	} {
		if err := c.config.shareMemory(); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if sum := c.config.shares.whole(); c.config.Memory != c.memory || sum > c.memory || sum < c.memory-4096 {
			t.Errorf("%s: memory %d, and the shares have %d; want %d", name, c.config.Memory, sum, c.memory)
		}
		for share, want := range c.has {
			if got := c.config.shares[share]; got != want {
				t.Errorf("%s: %s has %d, want %d", name, share, got, want)
			}
		}
		if heap := c.config.shares.heap(c.memory); heap >= c.memory-c.config.shares[processShare]+1 || heap < c.memory/2 {
			t.Errorf("%s: the heap has %d of %d", name, heap, c.memory)
		}
	}
}

// A share that is given has its size, and the others have less for it; where that is too little, it is said.
func TestSharesThatAreGiven(t *testing.T) {
	t.Parallel()
	c := nodeConfig{Memory: 1 << 30}
	c.Journal.CacheBytes, c.Engine.ResidentBytes = 400<<20, 100<<20
	if err := c.shareMemory(); err != nil {
		t.Fatal(err)
	}
	if left := int64(1<<30 - 500<<20); c.shares["cache"] != 400<<20 || c.shares["resident"] != 100<<20 || c.Unsent != left/68*3 || c.Gateway.Unsent != c.Unsent/2 ||
		c.shares.whole() > 1<<30 {
		t.Errorf("%v", c.shares)
	}
	c = nodeConfig{Memory: 1 << 30}
	c.Journal.CacheBytes = 1 << 30
	err := c.shareMemory()
	if err == nil || !strings.Contains(err.Error(), "--memory is 1GiB, of which --cache 1GiB leave too little for process (12MiB), garbage (16MiB)") {
		t.Errorf("%v", err)
	}
	// What is given for them stays as it is, whatever the shares are.
	c = nodeConfig{Memory: 1 << 30}
	c.Gateway.Connections, c.Gateway.Calls, c.Journal.MemTableBytes = 7, 8, 9<<20
	if err := c.shareMemory(); err != nil || c.Gateway.Connections != 7 || c.Gateway.Calls != 8 || c.Journal.MemTableBytes != 9<<20 {
		t.Errorf("%v: %+v", err, c)
	}
}

// The page for operators tells all shares, and no others, with their sizes by default.
func TestSharesAsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## What takes how much memory\n")
	if !found {
		t.Fatal("there is no such section")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	c, percent := nodeConfig{}, int64(0)
	if err := c.shareMemory(); err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `?(?:--)?([a-z-]+)`? \\| (\\d+) % \\| (\\d+) MiB \\|").FindAllStringSubmatch(section, -1)
	told := map[string]string{}
	for _, row := range rows {
		told[row[1]] = row[2] + " % " + row[3]
	}
	for _, s := range memoryShares() {
		percent += s.percent
		if want := fmt.Sprintf("%d %% %d", s.percent, c.shares[s.name]>>20); told[s.name] != want {
			t.Errorf("of %s the page says %q, want %q", s.name, told[s.name], want)
		}
		delete(told, s.name)
	}
	if len(told) > 0 || percent != 100 {
		t.Errorf("the page tells of %v beside; all shares are %d %%", told, percent)
	}
}

// Memory with which there would be no room for anything is refused; 0 stands for the default.
func TestMemory(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	for _, memory := range []string{"1", "255MiB"} {
		if o := f.run("node", "--data", t.TempDir(), "--memory", memory); o.status != exitUsage || !strings.Contains(o.stderr, "must be at least 256MiB") {
			t.Errorf("%s: %+v", memory, o)
		}
	}
	o := f.run("node", "--data", t.TempDir(), "--memory", "300MiB", "--cache", "299MiB")
	if o.status != exitUsage || !strings.Contains(o.stderr, "--cache 299MiB leave too little for") {
		t.Errorf("%+v", o)
	}
	_, admin := f.startNode("--memory", "0")
	answer, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // nothing depends on it
	text, err := io.ReadAll(answer.Body)
	if err != nil || !regexp.MustCompile(`holdfast_memory_share_bytes\{share="resident"\} [1-9]`).Match(text) {
		t.Errorf("the metrics do not tell the shares: %v", err)
	}
}
