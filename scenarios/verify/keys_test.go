package main

import (
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func TestDisorder(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.Unix(1000, int64(ms)*1e6) }
	type span struct {
		id, key                           string
		submitted, accepted, began, ended int
	}
	for name, c := range map[string]struct {
		spans                       []span
		overlaps, inversions, pairs int
	}{
		"in order":       {[]span{{"a", "k", 0, 1, 10, 20}, {"b", "k", 2, 3, 20, 30}}, 0, 0, 1},
		"at once":        {[]span{{"a", "k", 0, 1, 10, 20}, {"b", "k", 2, 3, 19, 30}}, 1, 0, 1},
		"inverted":       {[]span{{"a", "k", 0, 1, 20, 30}, {"b", "k", 2, 3, 10, 20}}, 0, 1, 1},
		"other keys":     {[]span{{"a", "k", 0, 1, 20, 30}, {"b", "l", 2, 3, 10, 25}}, 0, 0, 0},
		"crossed":        {[]span{{"a", "k", 0, 5, 20, 30}, {"b", "k", 2, 3, 10, 20}}, 0, 0, 0},
		"not next to it": {[]span{{"a", "k", 0, 1, 30, 40}, {"b", "k", 0, 9, 20, 30}, {"c", "k", 2, 3, 10, 20}}, 0, 1, 1},
	} {
		var orders []*order
		spans := map[messages.OrderID]*ran{}
		for _, s := range c.spans {
			o := &order{
				id: messages.OrderID(s.id), request: &orderv1.WorkOrder{OrderKey: s.key}, submitted: at(s.submitted), accepted: at(s.accepted),
			}
			orders = append(orders, o)
			spans[o.id] = &ran{began: at(s.began), over: at(s.ended)}
		}
		if overlaps, inversions, pairs := disorder(orders, spans); overlaps != c.overlaps || inversions != c.inversions || pairs != c.pairs {
			t.Errorf("%s: %d overlaps, %d inversions of %d pairs, want %d, %d of %d",
				name, overlaps, inversions, pairs, c.overlaps, c.inversions, c.pairs)
		}
	}
}
