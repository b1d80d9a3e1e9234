package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// maxDelayMS is the longest delay of each kind, in milliseconds: an hour.
const maxDelayMS = 3_600_000

// behaviour is how a downstream behaves. It can be changed at any time: PUT /control takes any part of it. Texts are
// compared with the arguments of a request, such as its MSISDN.
type behaviour struct {
	// LatencyMS is how long a request takes, in milliseconds: half of it before it is applied, half after it. JitterMS is
	// the most that chance adds.
	LatencyMS int64 `json:"latency_ms"`
	JitterMS  int64 `json:"jitter_ms"`
	// ErrorRate is the share of requests, 0 to 1, that are answered 503: nothing was applied.
	ErrorRate float64 `json:"error_rate"`
	// LoseRate is the share of requests, 0 to 1, that are applied, but whose connection is closed without an answer.
	LoseRate float64 `json:"lose_rate"`
	// Until OutageUntil everything is answered 503.
	OutageUntil time.Time `json:"outage_until"`
	// Refuse lists arguments that are answered 422.
	Refuse []string `json:"refuse"`
	// Unavailable and Lose say how many more requests with an argument are answered 503, or lose their answer.
	Unavailable map[string]int `json:"unavailable"`
	Lose        map[string]int `json:"lose"`
	// Slow says how many milliseconds longer requests with an argument take, before they are applied.
	Slow map[string]int64 `json:"slow"`
}

func (b *behaviour) validate() error {
	var errs []error
	milliseconds := func(name string, ms int64) {
		if ms < 0 || ms > maxDelayMS {
			errs = append(errs, fmt.Errorf("%s is %d: expected milliseconds, 0 to %d", name, ms, maxDelayMS))
		}
	}
	milliseconds("latency_ms", b.LatencyMS)
	milliseconds("jitter_ms", b.JitterMS)
	for name, rate := range map[string]float64{"error_rate": b.ErrorRate, "lose_rate": b.LoseRate} {
		if !(rate >= 0 && rate <= 1) {
			errs = append(errs, fmt.Errorf("%s is %v: expected 0 to 1", name, rate))
		}
	}
	for text, ms := range b.Slow {
		milliseconds(fmt.Sprintf("slow[%q]", text), ms)
	}
	return errors.Join(errs...)
}

// fate is what will become of one request.
type fate struct {
	before, after time.Duration
	refused       string // the argument that is refused
	unavailable   bool
	lost          bool
}

// control guards the behaviour.
type control struct {
	mu  sync.Mutex
	now behaviour
}

// fateOf decides about a request with these arguments.
func (c *control) fateOf(args []string, now time.Time) fate {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &c.now
	latency := time.Duration(b.LatencyMS) * time.Millisecond
	if b.JitterMS > 0 {
		latency += time.Duration(rand.Int64N(b.JitterMS*int64(time.Millisecond) + 1))
	}
	f := fate{
		before: latency / 2, after: latency / 2,
		unavailable: now.Before(b.OutageUntil) || rand.Float64() < b.ErrorRate,
		lost:        rand.Float64() < b.LoseRate,
	}
	for _, arg := range args {
		f.before += time.Duration(b.Slow[arg]) * time.Millisecond
		if slices.Contains(b.Refuse, arg) {
			f.refused = arg
		}
		f.unavailable = f.unavailable || take(b.Unavailable, arg)
	}
	if f.unavailable || f.refused != "" {
		return f
	}
	for _, arg := range args {
		f.lost = f.lost || take(b.Lose, arg)
	}
	return f
}

func take(left map[string]int, arg string) bool {
	if left[arg] <= 0 {
		return false
	}
	left[arg]--
	return true
}

// change puts the parts that a JSON object names in place of what was; what it does not name stays.
func (c *control) change(body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.now
	// Decoding into a map or slice would change it in place, even if the rest is then refused.
	next.Refuse, next.Unavailable, next.Lose, next.Slow = nil, nil, nil, nil
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&next); err != nil {
		return fmt.Errorf("read behaviour: %w", err)
	}
	if next.Refuse == nil {
		next.Refuse = c.now.Refuse
	}
	if next.Unavailable == nil {
		next.Unavailable = c.now.Unavailable
	}
	if next.Lose == nil {
		next.Lose = c.now.Lose
	}
	if next.Slow == nil {
		next.Slow = c.now.Slow
	}
	if err := next.validate(); err != nil {
		return err
	}
	c.now = next
	return nil
}

// current returns a copy.
func (c *control) current() behaviour {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.now
	b.Refuse = slices.Clone(b.Refuse)
	b.Unavailable, b.Lose, b.Slow = maps.Clone(b.Unavailable), maps.Clone(b.Lose), maps.Clone(b.Slow)
	return b
}
