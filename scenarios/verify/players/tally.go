package players

import (
	"context"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// What the log of the tally tells.
const (
	TallyApplied = "applied"
	TallyUndone  = "undone"
)

// TallyLine is a line of that log: an effect, or its undoing.
type TallyLine struct {
	Order messages.OrderID `json:"order"`
	Key   string           `json:"key"`
	Item  string           `json:"item"`
	What  string           `json:"what"`
}

// TallyInput is the input of its activities: for which item of an order, and how many milliseconds it takes before the effect.
type TallyInput struct {
	Item  string `json:"item"`
	Takes int    `json:"takes"`
}

// tally is an adapter that writes down each effect that it has, and each that it undoes. It has begun effects also if it is told to stop,
// so that it is always known what came of them.
func tally(p *part) func() *adapters.Adapter {
	p.writes("a line for each effect")
	return func() *adapters.Adapter {
		a := adapters.New(Tally)
		write := func(t adapters.Task, in TallyInput, what string) (string, error) {
			return in.Item, p.lines.write(TallyLine{Order: t.OrderID, Key: t.Key, Item: in.Item, What: what})
		}
		adapters.Handle(a, "add", func(ctx context.Context, t adapters.Task, in TallyInput) (string, error) {
			if err := stage.Pause(context.WithoutCancel(ctx), time.Duration(in.Takes)*time.Millisecond); err != nil {
				return "", err
			}
			return write(t, in, TallyApplied)
		}, adapters.Concurrency(256))
		adapters.Handle(a, "undo", func(_ context.Context, t adapters.Task, in TallyInput) (string, error) {
			return write(t, in, TallyUndone)
		}, adapters.Concurrency(256), adapters.Idempotent())
		return a
	}
}
