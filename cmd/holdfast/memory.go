package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// defaultMemory is nodeConfig.Memory where nothing bounds the memory of the process, leastMemory the least.
	defaultMemory = 1 << 30
	leastMemory   = 256 << 20
	// ofCgroup is how much of a cgroup's memory is a node's by default, in percent. A peak may take a quarter more for moments.
	ofCgroup = 80
	// connectionBytes is about what a connection takes that has no call, callBytes what a call or stream takes beside what it is about.
	connectionBytes, callBytes = 48 << 10, 20 << 10
)

// share is a share of a node's memory.
type share struct {
	// name is the setting that gives it another size; for those that have none, what it is for.
	name string
	// percent is its size by default, of --memory, or of what is left of it by shares that are given a size.
	percent int64
	// least is the least size.
	least int64
	// size is where the size is set; nil: nobody can set it.
	size func(*nodeConfig) *int64
}

// The shares that have no setting: of what lies beside the heap but the journal's cache, and of what is garbage until it is collected.
const (
	processShare    = "process"
	garbageShare    = "garbage"
	connectionShare = "connections"
	cacheShare      = "cache"
)

// memoryShares are all shares: they make up the memory.
func memoryShares() []share {
	return []share{
		{processShare, 6, 12 << 20, nil},
		{garbageShare, 11, 16 << 20, nil},
		{connectionShare, 15, 8 << 20, nil},
		{cacheShare, 19, 4 << 20, func(c *nodeConfig) *int64 { return &c.Journal.CacheBytes }},
		{"resident", 13, 1 << 20, func(c *nodeConfig) *int64 { return &c.Engine.ResidentBytes }},
		{"evaluating", 10, 1 << 20, func(c *nodeConfig) *int64 { return &c.Engine.EvaluationBytes }},
		{"adapter-memory", 8, 8 << 20, func(c *nodeConfig) *int64 { return &c.Engine.AdapterBytes }},
		{"queue", 4, 64 << 10, func(c *nodeConfig) *int64 { return &c.Engine.QueueBytes }},
		{"committing", 4, 1 << 20, func(c *nodeConfig) *int64 { return &c.Committing }},
		{"definitions", 4, 64 << 10, func(c *nodeConfig) *int64 { return &c.Engine.Definitions }},
		{"unread", 3, 256 << 10, func(c *nodeConfig) *int64 { return &c.Gateway.Unread }},
		{"unsent", 3, 256 << 10, func(c *nodeConfig) *int64 { return &c.Unsent }},
	}
}

// shared is how much memory each share has, by its name.
type shared map[string]int64

// shareMemory shares out the memory of a node, and sets what follows from it.
func (c *nodeConfig) shareMemory() error {
	if c.Memory == 0 {
		if c.Memory = defaultMemory; c.limit > 0 {
			c.Memory = max(c.limit/100*ofCgroup, leastMemory)
		}
	}
	if c.Memory < leastMemory {
		return fmt.Errorf("--memory is %s, and must be at least %s, or 0 for the default", textSize(c.Memory), textSize(leastMemory))
	}
	has, left, percent := shared{}, c.Memory, int64(0)
	var given []string
	for _, s := range memoryShares() {
		switch {
		case s.name == cacheShare && len(c.Shared.Shards) > 0: // there is none
			has[s.name] = 0
		case s.size != nil && *s.size(c) > 0:
			has[s.name] = *s.size(c)
			left -= has[s.name]
			given = append(given, fmt.Sprintf("--%s %s", s.name, textSize(has[s.name])))
		default:
			percent += s.percent
		}
	}
	var short []string
	for _, s := range memoryShares() {
		if _, set := has[s.name]; set {
			continue
		}
		has[s.name] = max(left, 0) / percent * s.percent
		if has[s.name] < s.least {
			short = append(short, fmt.Sprintf("%s (%s)", s.name, textSize(s.least)))
		}
		if s.size != nil {
			*s.size(c) = has[s.name]
		}
	}
	if len(short) > 0 {
		return fmt.Errorf("--memory is %s, of which %s leave too little for %s: raise --memory, or lower these",
			textSize(c.Memory), strings.Join(given, ", "), strings.Join(short, ", "))
	}
	c.shares = has
	c.follow()
	return nil
}

// follow sets what is not given and follows from the shares.
func (c *nodeConfig) follow() {
	has := c.shares
	// What waits to become durable is held by who waits for it, and in the journal's queue.
	c.Gateway.AcceptingBytes, c.Gateway.Results = c.Committing/2, c.Committing/2
	c.Journal.QueueBytes, c.Shared.QueueBytes = c.Committing, c.Committing
	c.Gateway.Unsent, c.Gateway.Answers = c.Unsent/2, c.Unsent/2
	if c.Journal.MemTableBytes == 0 {
		c.Journal.MemTableBytes = min(64<<20, max(has[cacheShare]/3, 1<<20)) // there may be three
	}
	third := has[connectionShare] / 3
	if c.Gateway.Connections == 0 {
		c.Gateway.Connections = int(min(10_000, third/connectionBytes))
	}
	if c.Gateway.Calls == 0 {
		c.Gateway.Calls = int(min(32_768, third/callBytes))
	}
	if c.Gateway.Streams == 0 { // so that nobody takes all by one connection
		c.Gateway.Streams = max(1, min(1000, c.Gateway.Calls/4))
	}
	c.Gateway.Waits = third
}

// heap is what the Go runtime may have: all but what lies beside it.
func (s shared) heap(memory int64) int64 {
	heap := memory - s[processShare]
	if cacheIsApart {
		heap -= s[cacheShare]
	}
	return heap
}

// gcPercent trades memory for CPU, up to the memory that the configuration gives: most of a node's heap lives for a few
// milliseconds. The environment variables GOGC and GOMEMLIMIT override both.
const gcPercent = 800

// boundMemory has the process keep to its memory, and tells what has how much of it.
func (n *node) boundMemory() {
	c := &n.config
	if c.limitUnknown != nil {
		n.log.Warn("it can't be found out how much memory the system allows: --memory goes by none", "error", c.limitUnknown)
	}
	if c.limit > 0 && c.Memory > c.limit/100*ofCgroup {
		n.log.Warn("the node may come to take more memory than the system allows, and be killed: lower --memory, or raise the limit",
			"memory", textSize(c.Memory), "limit", textSize(c.limit), "at_most", textSize(c.limit/100*ofCgroup))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(c.shares.heap(c.Memory))
	}
	bytes := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "holdfast_memory_share_bytes", Help: "How much memory is for what; all shares make up --memory.",
	}, []string{"share"})
	n.registry.MustRegister(bytes)
	told := []any{"memory", textSize(c.Memory)}
	for _, s := range memoryShares() {
		bytes.WithLabelValues(s.name).Set(float64(c.shares[s.name]))
		told = append(told, s.name, textSize(c.shares[s.name]>>20<<20))
	}
	n.log.Info("memory is shared out", told...)
}

// memoryLimit is how much memory the process may have by its cgroup; 0: any.
func memoryLimit() (int64, error) {
	limit, err := memlimit.FromCgroup()
	switch {
	case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read the limit of the cgroup: %w", err)
	case limit >= math.MaxInt64>>1: // that is how the first version of cgroups says that there is none
		return 0, nil
	}
	return int64(limit), nil
}
