package messages_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/messages"
)

func drawWatermarks(t *rapid.T, name string) (w messages.Watermarks) {
	for range rapid.IntRange(0, 3).Draw(t, name+" shards") {
		w.Shards = append(w.Shards, messages.ShardWatermarks{
			Generation: messages.Generation(rapid.IntRange(0, 2).Draw(t, "generation")),
			Batches:    rapid.SliceOfN(rapid.Int64Range(0, 3), 0, 3).Draw(t, "batches"),
		})
	}
	return w
}

// What was raised covers both, and whatever covers both covers it: there is nothing in it that was in none.
func TestWatermarksRaised(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawWatermarks(t, "a"), drawWatermarks(t, "b"), drawWatermarks(t, "c")
		raised := a.Raised(b)
		if !raised.Cover(a) || !raised.Cover(b) {
			t.Errorf("%v raised by %v is %v", a, b, raised)
		}
		if c.Cover(a) && c.Cover(b) && !c.Cover(raised) {
			t.Errorf("%v covers %v and %v, and not %v", c, a, b, raised)
		}
	})
}

func TestWatermarksCover(t *testing.T) {
	t.Parallel()
	of := func(g messages.Generation, batches ...int64) messages.Watermarks {
		return messages.Watermarks{Shards: []messages.ShardWatermarks{{Generation: g, Batches: batches}}}
	}
	for _, test := range []struct {
		has, needs messages.Watermarks
		want       bool
	}{
		{messages.Watermarks{}, messages.Watermarks{}, true},
		{messages.Watermarks{}, of(0, 0, 0), true},
		{messages.Watermarks{}, of(0, 1), false},
		{of(0, 2, 3), of(0, 2, 3), true},
		{of(0, 2, 3), of(0, 0, 4), false},
		{of(0, 2), of(0, 2, 1), false},
		{of(1), of(0, 9, 9), true},
		{of(0, 9, 9), of(1, 1), false},
	} {
		if got := test.has.Cover(test.needs); got != test.want {
			t.Errorf("%v covers %v: %v", test.has, test.needs, got)
		}
	}
}
