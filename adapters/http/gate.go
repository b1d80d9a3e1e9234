package http

import (
	"cmp"
	"context"
	"fmt"
	"net"
	nethttp "net/http"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
)

// gates hold requests back from hosts that have asked for it, whichever request they have answered so.
type gates struct {
	mu     sync.Mutex
	closed map[string]time.Time // until when, by host
}

// maxGates is how many hosts can be held back from at once. Further ones are asked again.
const maxGates = 1000

func newGates() *gates { return &gates{closed: make(map[string]time.Time)} }

// longestGate is how long a host may be held back from at once, whatever it asks for.
const longestGate = 10 * time.Minute

// close holds requests to a host back until a time, or longer if it was said so before.
func (g *gates) close(host string, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until.Before(g.closed[host]) {
		return
	}
	if _, has := g.closed[host]; !has && len(g.closed) >= maxGates {
		return
	}
	g.closed[host] = until
}

// until is how long requests to a host are held back; zero: they are not.
func (g *gates) until(host string, now time.Time) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	for h, t := range g.closed {
		if !t.After(now) {
			delete(g.closed, h)
		}
	}
	return g.closed[host]
}

// host is where the request goes to.
func (x *exchange) host() string {
	u := x.request.url
	return net.JoinHostPort(strings.ToLower(u.Hostname()), cmp.Or(u.Port(), portOf(u.Scheme)))
}

// willPass tells whether the request can wait as long as its host asks for.
func (x *exchange) willPass(ctx context.Context) bool {
	now := x.sender.now()
	until := x.sender.gates.until(x.host(), now)
	deadline, has := ctx.Deadline()
	return !until.After(now.Add(x.sender.config.RetryAfter)) && (!has || until.Before(deadline))
}

// pass waits until the request's host may be asked.
func (x *exchange) pass(ctx context.Context) error {
	now := x.sender.now()
	until := x.sender.gates.until(x.host(), now)
	if until.IsZero() {
		return nil
	}
	p := adapters.Problem{
		Type: adapters.ErrorTypeCommunication, Title: "Server asks to wait", Status: nethttp.StatusServiceUnavailable,
		Detail: fmt.Sprintf("%s: the server wants no requests until %s", x.request.shown(), until.UTC().Format(time.RFC3339)),
	}
	if !x.willPass(ctx) {
		return adapters.Transient(p)
	}
	t := time.NewTimer(until.Sub(now))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return adapters.Transient(p)
	}
}
