package client

import (
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// redial is how long a client waits until it connects again to an announced address that can't be reached, beside what gRPC itself waits.
// It may never be reached from here, and is not needed: other nodes pass orders on. One that has left and come back is announced anew, and
// connected to at once.
var redial = Backoff{Initial: 50 * time.Millisecond, Max: 30 * time.Second, Jitter: 0.3} //nolint:gochecknoglobals // a constant

// rarely makes balancers that connect ever more rarely to announced addresses that can't be reached. gRPC's own backoff is the same for all
// addresses, and those that the client was given are to be connected to as soon as they are back.
type rarely struct{ balancer.Builder }

// Build implements balancer.Builder.
func (r rarely) Build(conn balancer.ClientConn, o balancer.BuildOptions) balancer.Balancer {
	return r.Builder.Build(redialing{conn}, o)
}

// redialing makes the connections of such a balancer.
type redialing struct{ balancer.ClientConn }

// NewSubConn implements balancer.ClientConn.
func (r redialing) NewSubConn(to []resolver.Address, o balancer.NewSubConnOptions) (balancer.SubConn, error) {
	if to[0].Attributes.Value(givenKey{}) != nil {
		return r.ClientConn.NewSubConn(to, o) //nolint:wrapcheck,staticcheck // it stands for what it wraps; there is one address
	}
	c, listener := &redialed{}, o.StateListener
	o.StateListener = func(s balancer.SubConnState) {
		c.is(s)
		listener(s)
	}
	var err error
	c.SubConn, err = r.ClientConn.NewSubConn(to, o) //nolint:staticcheck // as above
	return c, err                                   //nolint:wrapcheck // it stands for what it wraps
}

// redialed is a connection to an announced address. gRPC calls its methods one after another.
type redialed struct {
	balancer.SubConn

	failures int // in a row
	again    *time.Timer
}

// is hears how the connection is.
func (c *redialed) is(s balancer.SubConnState) {
	switch s.ConnectivityState { //nolint:exhaustive // others say nothing
	case connectivity.Ready:
		c.failures = 0
	case connectivity.TransientFailure:
		c.failures++
	}
}

// Connect implements balancer.SubConn. It is called when gRPC has waited.
func (c *redialed) Connect() {
	if c.failures == 0 {
		c.SubConn.Connect()
		return
	}
	c.again = time.AfterFunc(redial.next(c.failures, rand.Float64), c.SubConn.Connect) // which does nothing if there is no client any more
}

// Shutdown implements balancer.SubConn.
func (c *redialed) Shutdown() {
	if c.again != nil {
		c.again.Stop()
	}
	c.SubConn.Shutdown()
}
