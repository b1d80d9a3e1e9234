package players

import (
	"context"
	"encoding/json"

	"github.com/holdfast-run/holdfast/adapters"
)

// echoer is an adapter of the name given, whose only activity returns its input. It has room as bench.echo has.
func echoer(p *part) func() *adapters.Adapter {
	name := p.flags.String("name", "", "name of the adapter")
	return func() *adapters.Adapter {
		a := adapters.New(*name)
		adapters.Handle(a, "echo", func(_ context.Context, _ adapters.Task, in json.RawMessage) (json.RawMessage, error) {
			return in, nil
		}, adapters.Idempotent(), adapters.Concurrency(16), adapters.Prefetch(1008))
		return a
	}
}
