package bench_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/adapters/bench"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestActivities(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := adaptertest.Start(t)
	node.Run(bench.New(), adapters.Config{})
	for _, c := range []struct {
		activity, input string
		outcome         adapterv1.Outcome
	}{
		{"echo", `"x"`, adapterv1.Outcome_OUTCOME_SUCCEEDED},
		{"sleep", `{"ms":20}`, adapterv1.Outcome_OUTCOME_SUCCEEDED},
		{"sleep", `{"ms":-1}`, adapterv1.Outcome_OUTCOME_FAILED},
		{"sleep", `{"ms":3600001}`, adapterv1.Outcome_OUTCOME_FAILED},
		{"sleep", `7`, adapterv1.Outcome_OUTCOME_FAILED},
	} {
		task := node.Task(c.activity, nil)
		task.Input = []byte(c.input)
		start := time.Now()
		node.Send(ctx, task)
		r := node.Await(ctx, task.GetKey(), 1)
		ok := c.outcome == adapterv1.Outcome_OUTCOME_SUCCEEDED
		if r.GetOutcome() != c.outcome || r.GetPermanent() == ok || ok && string(r.GetOutput()) != c.input {
			t.Errorf("%s %s: %v", c.activity, c.input, r)
		}
		if c.input == `{"ms":20}` && time.Since(start) < 20*time.Millisecond {
			t.Errorf("it slept %v", time.Since(start))
		}
	}
	if a := node.Hellos()[0].GetActivities(); !a[0].GetIdempotent() || !a[1].GetIdempotent() || a[1].GetConcurrency() != bench.Sleepers {
		t.Errorf("%v", a)
	}
}
