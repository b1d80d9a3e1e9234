package outbound

import (
	"context"
	"fmt"
	"net/http"
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

// MaxWaits is how often one request is sent again because its server has asked to wait.
const MaxWaits = 3

// HoldBack holds all requests to a host, host:port, back for a time, ten minutes at most.
func (e *Exit) HoldBack(host string, after time.Duration) {
	e.gates.close(host, e.Now().Add(min(after, longestGate)))
}

// WillPass tells whether a request can wait as long as its host asks for.
func (e *Exit) WillPass(ctx context.Context, host string) bool {
	until := e.gates.until(host, e.Now())
	deadline, has := ctx.Deadline()
	return !until.After(e.Now().Add(e.Config.RetryAfter)) && (!has || until.Before(deadline))
}

// Pass waits until a request's host may be asked. An error says that the request has not been sent; shown is what it is of.
func (e *Exit) Pass(ctx context.Context, host, shown string) error {
	now := e.Now()
	until := e.gates.until(host, now)
	if until.IsZero() {
		return nil
	}
	p := adapters.Problem{
		Type: adapters.ErrorTypeCommunication, Title: "Server asks to wait", Status: http.StatusServiceUnavailable,
		Detail: fmt.Sprintf("%s: the server wants no requests until %s", shown, until.UTC().Format(time.RFC3339)),
	}
	if !e.WillPass(ctx, host) {
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
