package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
)

// Sleepers is how many bench.sleep are executed at once.
const Sleepers = 4096

// maxSleep bounds one bench.sleep.
const maxSleep = time.Hour

// New makes the adapter.
func New() *adapters.Adapter {
	a := adapters.New("bench")
	// An echo takes a microsecond: a few actors are enough, and what counts is that the nodes need not wait for credit.
	adapters.Handle(a, "echo", echo, adapters.Idempotent(), adapters.Concurrency(16), adapters.Prefetch(1008))
	adapters.Handle(a, "sleep", sleep, adapters.Idempotent(), adapters.Concurrency(Sleepers))
	return a
}

func echo(_ context.Context, _ adapters.Task, in json.RawMessage) (json.RawMessage, error) {
	return in, nil
}

func sleep(ctx context.Context, _ adapters.Task, in json.RawMessage) (json.RawMessage, error) {
	var how struct {
		MS int64 `json:"ms"`
	}
	if err := json.Unmarshal(in, &how); err != nil {
		return nil, wrong(err.Error())
	}
	if how.MS < 0 || how.MS > maxSleep.Milliseconds() {
		return nil, wrong(fmt.Sprintf("ms is %d: 0 to %d is expected", how.MS, maxSleep.Milliseconds()))
	}
	timer := time.NewTimer(time.Duration(how.MS) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return in, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func wrong(detail string) error {
	return adapters.Permanent(adapters.Problem{
		Type: adapters.ErrorTypeValidation, Title: "Input is not valid", Status: 400, Detail: detail,
	})
}
