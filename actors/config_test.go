package actors_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/workflow"
)

// What could be added to no time, and what is negative, is refused by name.
func TestConfigBoundsDurations(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]actors.Config{
		"":                       {Idle: 24 * time.Hour},
		"Idle is -1ns":           {Idle: -1},
		"LongWait is 2562047h47": {LongWait: 1<<63 - 1},
		"Grace is 876000h0m0s":   {Grace: 876000 * time.Hour},
		"StopGrace is -1s":       {Workflow: workflow.Limits{StopGrace: -time.Second}},
		"RetryPause is 2500000h": {Workflow: workflow.Limits{RetryPause: 2_500_000 * time.Hour}},
		"LoopPause is 2500000h":  {Workflow: workflow.Limits{LoopPause: 2_500_000 * time.Hour, Loops: 1}},
		"AcceptAfter is -1s":     {AcceptAfter: -time.Second},
		"AcceptRate is -1":       {AcceptRate: -1},
		"AcceptRate is NaN":      {AcceptRate: math.NaN()},
		"AcceptBurst is -1":      {AcceptBurst: -1},
		"Workflow.Steps is -1":   {Workflow: workflow.Limits{Steps: -1}},
	} {
		err := c.WithDefaults().Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
