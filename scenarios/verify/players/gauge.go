package players

import (
	"context"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// GaugeTakes says what the activities of the gauge are, and how long an execution of each takes.
var GaugeTakes = map[string]time.Duration{ //nolint:gochecknoglobals // a table
	"paced": 20 * time.Millisecond, "three": time.Second, "one": time.Second,
}

// GaugeLine is a line of its log: an execution has begun, or is over.
type GaugeLine struct {
	At       time.Time `json:"at"`
	Activity string    `json:"activity"`
	Key      string    `json:"key"`
	Over     bool      `json:"over"`
}

// gaugeConcurrency is how many it executes at once of each activity: more than any limit allows.
const gaugeConcurrency = 64

// gauge is an adapter that writes down when it executes what, so that it can be seen whether limits hold.
func gauge(p *part) func() *adapters.Adapter {
	p.writes("a line at the beginning and the end of each execution")
	return func() *adapters.Adapter {
		a := adapters.New(Gauge)
		for name, takes := range GaugeTakes {
			adapters.Handle(a, name, func(ctx context.Context, t adapters.Task, _ struct{}) (struct{}, error) {
				if err := p.lines.write(GaugeLine{At: time.Now(), Activity: name, Key: t.Key}); err != nil {
					return struct{}{}, err
				}
				if err := stage.Pause(ctx, takes); err != nil {
					return struct{}{}, err
				}
				return struct{}{}, p.lines.write(GaugeLine{At: time.Now(), Activity: name, Key: t.Key, Over: true})
			}, adapters.Idempotent(), adapters.Concurrency(gaugeConcurrency))
		}
		return a
	}
}
