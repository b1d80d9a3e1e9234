package players

import (
	"context"
	"encoding/json"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// SleepTime is how long one execution of the sleeper takes, if it is not told otherwise.
const SleepTime = time.Second

// Execution is a line of the sleeper's log: an execution has started, or is over.
type Execution struct {
	At    time.Time        `json:"at"`
	Key   string           `json:"key"`
	Order messages.OrderID `json:"order"`
	Over  bool             `json:"over"`
}

// sleeper is an adapter whose only activity takes its time, and writes down each execution.
func sleeper(p *part) func() *adapters.Adapter {
	takes := p.flags.Duration("for", SleepTime, "how long one execution takes")
	p.writes("a line at the beginning and the end of each execution")
	write := func(t adapters.Task, over bool) error {
		return p.lines.write(Execution{At: time.Now(), Key: t.Key, Order: t.OrderID, Over: over})
	}
	return func() *adapters.Adapter {
		a := adapters.New(Sleeper)
		adapters.Handle(a, "sleep", func(ctx context.Context, t adapters.Task, in json.RawMessage) (json.RawMessage, error) {
			if err := write(t, false); err != nil {
				return nil, err
			}
			if err := stage.Pause(ctx, *takes); err != nil {
				return nil, err
			}
			return in, write(t, true)
		}, adapters.Idempotent(), adapters.Concurrency(2048))
		return a
	}
}
