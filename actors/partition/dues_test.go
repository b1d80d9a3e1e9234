package partition

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// However few are held, each comes in its turn, and none that is no longer wanted.
func TestDues(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := newDues(rapid.IntRange(1, 4).Draw(t, "most"))
		want := map[messages.OrderID]due{} // in the index, or by itself
		read := func() {
			var rest []due
			for _, x := range want {
				if x.indexed && x.Compare(d.upTo) > 0 {
					rest = append(rest, x)
				}
			}
			slices.SortFunc(rest, func(a, b due) int { return a.Compare(b.DuePlace) })
			page := rest[:min(d.most, len(rest))]
			for _, x := range page {
				d.upTo = x.DuePlace
				d.set(x.id, x.DuePlace, true)
			}
			d.behind = len(page) == d.most
		}
		first := func() *due {
			for d.few() {
				read()
			}
			return d.first()
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				n := rapid.IntRange(0, 30).Draw(t, "order")
				id, at := messages.OrderID(fmt.Sprint(n)), persistence.DuePlace{At: rapid.Int64Range(0, 20).Draw(t, "at")}
				at.Handle[0] = byte(n)
				indexed := rapid.Bool().Draw(t, "indexed")
				if delete(want, id); at.At != 0 {
					want[id] = due{DuePlace: at, id: id, indexed: indexed}
				}
				d.set(id, at, indexed)
			},
			"fire": func(t *rapid.T) {
				x := first()
				if x == nil {
					if len(want) > 0 {
						t.Fatalf("nothing is due, though there are %v", want)
					}
					return
				}
				if w, found := want[x.id]; !found || w.DuePlace != x.DuePlace {
					t.Fatalf("%+v is due, and should be %+v", x, w)
				}
				for _, w := range want {
					if w.At < x.At {
						t.Fatalf("%+v is due before %+v", x, w)
					}
				}
				delete(want, x.id)
				d.remove(x)
			},
			"": func(t *rapid.T) {
				held := 0
				for x := range maps.Values(d.of) {
					if x.indexed {
						held++
					}
				}
				if held != d.indexed || held > 2*d.most || len(d.of) != len(d.heap) {
					t.Fatalf("%d are held, %d by the count, %d in the heap; at most %d", held, d.indexed, len(d.heap), 2*d.most)
				}
			},
		})
	})
}
