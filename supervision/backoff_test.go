package supervision_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/supervision"
)

func TestBackoffDoublesUpToItsMaximum(t *testing.T) {
	t.Parallel()
	b := supervision.Backoff{Initial: 100 * time.Millisecond, Max: time.Second}
	for i, want := range []int64{100, 200, 400, 800, 1000, 1000} {
		if got := b.Next(i+1, nil); got.Milliseconds() != want {
			t.Errorf("attempt %d: %v, want %d ms", i+1, got, want)
		}
	}
}

func TestBackoffTakesTheJitterOff(t *testing.T) {
	t.Parallel()
	b := supervision.Backoff{Initial: time.Second, Max: time.Second, Jitter: 0.5}
	if got := b.Next(1, func() float64 { return 0.5 }); got != 750*time.Millisecond {
		t.Errorf("got %v, want 750ms", got)
	}
}

func TestBackoffStaysInItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		initial := rapid.Int64Range(0, math.MaxInt64).Draw(t, "initial")
		b := supervision.Backoff{
			Initial: time.Duration(initial),
			Max:     time.Duration(rapid.Int64Range(initial, math.MaxInt64).Draw(t, "max")),
			Jitter:  rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
		if err := b.Validate(); err != nil {
			t.Fatal(err)
		}
		attempt := rapid.Int().Draw(t, "attempt")
		if d := b.Next(attempt, func() float64 { return 0 }); d < b.Initial || d > b.Max {
			t.Fatalf("%v is not between %v and %v", d, b.Initial, b.Max)
		}
		if d := b.Next(attempt, func() float64 { return math.Nextafter(1, 0) }); d < 0 || d > b.Max {
			t.Fatalf("with jitter, %v is not between 0 and %v", d, b.Max)
		}
	})
}

func TestBackoffValidateTellsEveryMistake(t *testing.T) {
	t.Parallel()
	err := supervision.Backoff{Initial: -2, Max: -3, Jitter: math.NaN()}.Validate()
	for _, want := range []string{"initial delay", "longest delay", "jitter"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v doesn't tell of the %s", err, want)
		}
	}
}
