package http

import (
	"context"
	"encoding/json"
	nethttp "net/http"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/outbound"
)

// New makes the adapter. An error says everything that is wrong with the settings.
func New(config Config) (*adapters.Adapter, error) {
	config = config.withDefaults()
	exit, err := config.newExit()
	if err != nil {
		return nil, err
	}
	s := &sender{config: config, exit: exit, repeated: exit.Plain}
	s.once = s.transport(true)
	s.certified = newCertified(s)
	a := adapters.New("http")
	for _, act := range []struct {
		name string
		once bool
		opts []adapters.Option
	}{{"request", false, []adapters.Option{adapters.Idempotent()}}, {"requestOnce", true, nil}} {
		adapters.Handle(a, act.name, func(ctx context.Context, t adapters.Task, in call) (json.RawMessage, error) {
			return s.execute(ctx, t, in, act.once)
		}, append(act.opts, adapters.Concurrency(config.Concurrency), adapters.Timeout(config.Timeout))...)
	}
	return a, nil
}

// sender sends requests.
type sender struct {
	config   Config
	exit     *outbound.Exit
	repeated *nethttp.Transport
	once     *nethttp.Transport
	// certified are the transports of those who authenticate by certificates.
	certified *certified
}

// call is what the engine has made of the properties of a call.
type call struct {
	Namespace string          `json:"namespace"`
	Method    string          `json:"method"`
	URI       json.RawMessage `json:"uri"`
	// Path has what stands for {name} in the address.
	Path    json.RawMessage `json:"path"`
	Headers json.RawMessage `json:"headers"`
	Query   json.RawMessage `json:"query"`
	// Separators are what stands between the elements of lists in the query, by name; of others each is sent by itself.
	Separators     map[string]string `json:"separators"`
	Body           json.RawMessage   `json:"body"`
	Output         string            `json:"output"`
	Redirect       bool              `json:"redirect"`
	Authentication json.RawMessage   `json:"authentication"`
	// Sealed are the expressions that name secrets, by the JSON pointers of what they make.
	Sealed map[string]json.RawMessage `json:"sealed"`
}

// execute sends the request of a task, and says what came of it.
func (s *sender) execute(ctx context.Context, t adapters.Task, c call, once bool) (json.RawMessage, error) {
	x := &exchange{sender: s, task: t, call: c, once: once}
	if err := x.prepare(ctx); err != nil {
		return nil, err
	}
	res, err := x.send(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // what matters of it has been read
	content, readErr := x.read(res)
	if err := x.refusal(res, content); err != nil {
		return nil, err
	}
	if readErr != nil {
		return nil, readErr
	}
	return x.output(res, content)
}
