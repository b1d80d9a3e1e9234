package order

import (
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/supervision"
)

// looped is a home that has a loop and nothing else.
type looped struct {
	Home

	loop *supervision.Loop
}

func (h looped) Turning(id messages.OrderID) { h.loop.BeatAt(string(id)) }

// Who waits for a turn gets one, though others come again and again.
func TestTurnsAreInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dog := supervision.NewWatchdog(time.Now, slog.New(slog.DiscardHandler))
		parts := (&Parts{Config: Config{Show: 2 * time.Second, Evaluations: 2}, Workers: &runtime.Workers{}, Now: time.Now}).Ready()
		defer parts.Workers.Close()
		const partitions = 64
		var mu sync.Mutex
		got, longest := make([]int, partitions), make([]time.Duration, partitions)
		var wg sync.WaitGroup
		start := time.Now()
		for p := range partitions {
			loop := dog.Register("p", time.Minute)
			wg.Go(func() {
				defer loop.Close()
				for time.Since(start) < 5*time.Minute { // one order after the other, each with an evaluation of 400 ms
					ts := turns{&instance{
						Parts: parts, box: &Box{}, home: looped{loop: loop}, state: workflow.New(&workflow.Definition{}, workflow.Limits{}),
					}}
					asked := time.Now()
					ts.Await()
					longest[p] = max(longest[p], time.Since(asked))
					time.Sleep(400 * time.Millisecond)
					ts.End()
					mu.Lock()
					got[p]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for p, n := range got {
			if fair := partitions * 400 * time.Millisecond / 2; longest[p] > 2*fair {
				t.Errorf("partition %d got %d turns in five minutes; once it waited %v, and in turn it would be %v", p, n, longest[p], fair)
			}
		}
	})
}
