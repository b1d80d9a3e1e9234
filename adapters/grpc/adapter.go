package grpc

import (
	"context"
	"encoding/json"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/outbound"
)

// New makes the adapter. An error says everything that is wrong with the settings.
func New(config Config) (*adapters.Adapter, error) {
	config = config.withDefaults()
	exit, plaintext, err := config.parse()
	if err != nil {
		return nil, err
	}
	c := &caller{
		config: config, exit: exit, pool: newPool(exit, plaintext, config.Connections), plaintext: plaintext,
		described: outbound.NewKept(maxDescribed, func(*method) {}), reflected: outbound.NewKept(maxDescribed, func(*reflected) {}),
	}
	a := adapters.New("grpc")
	for _, act := range []struct {
		name string
		opts []adapters.Option
	}{{"call", []adapters.Option{adapters.Idempotent()}}, {"callOnce", nil}} {
		adapters.HandleWith(a, act.name, c.pool.join, func(ctx context.Context, _ *member, t adapters.Task, in call) (json.RawMessage, error) {
			return c.execute(ctx, t, in)
		}, append(act.opts, adapters.Concurrency(config.Concurrency), adapters.Timeout(config.Timeout))...)
	}
	return a, nil
}

// caller makes calls.
type caller struct {
	config    Config
	exit      *outbound.Exit
	pool      *pool
	plaintext outbound.Hosts
	// described are the methods whose descriptions came with calls, reflected those that servers were asked for.
	described *outbound.Kept[*method]
	reflected *outbound.Kept[*reflected]
}

// maxDescribed is how many methods are held that calls have described, and how many that servers have.
const maxDescribed = 1000

// call is what the engine has made of the properties of a call.
type call struct {
	Namespace string `json:"namespace"`
	// Service is its full name, Method one of its methods.
	Service string `json:"service"`
	Method  string `json:"method"`
	Host    string `json:"host"`
	Port    int    `json:"port"` // 0: that of the scheme
	// Description has the method, and what its messages are made of: a set of files of Protocol Buffers. Empty: the server is asked.
	Description    []byte          `json:"description"`
	Arguments      json.RawMessage `json:"arguments"`
	Authentication json.RawMessage `json:"authentication"`
	// Sealed are the expressions that name secrets, by the JSON pointers of what they make.
	Sealed map[string]json.RawMessage `json:"sealed"`
}

// execute makes the call of a task, and says what came of it.
func (c *caller) execute(ctx context.Context, t adapters.Task, in call) (json.RawMessage, error) {
	x := &invocation{caller: c, task: t, call: in}
	if err := x.prepare(ctx); err != nil {
		return nil, err
	}
	conn, err := c.pool.take(x.address, x.authentication.Certificate)
	if err != nil {
		return nil, outbound.Forbidden("the certificate of the authentication can't be used: %v", err)
	}
	defer c.pool.release(conn)
	x.conn = conn
	if err := x.describe(ctx); err != nil {
		return nil, err
	}
	if err := x.encode(); err != nil {
		return nil, err
	}
	a, err := x.invoke(ctx)
	if err != nil {
		return nil, err
	}
	return x.output(a)
}
