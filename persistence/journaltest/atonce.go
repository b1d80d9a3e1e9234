package journaltest

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// testRecordsAtOnce has many read whole histories at the same time: each gets its own, whole, and none gets another's error.
func testRecordsAtOnce(t env) {
	j := open(t)
	var orders []*order
	var histories [][][]byte
	const large = 40 << 10
	for n, sizes := range [][]int{ // of the records behind the first one
		{},
		{0},
		{large},
		{0, large, 0},
		make([]int, 14),
		make([]int, 15),
		make([]int, 16),
		make([]int, 40),
		make([]int, 101),
		append(make([]int, 20), large, 0),
	} {
		o := newOrder().in(messages.Partition(n * 23 % messages.Partitions))
		first := o.accept(1)
		o.must(t, j, first)
		history := [][]byte{first.Record}
		for _, size := range sizes {
			c := o.step(1)
			if size > 0 {
				c.Record = record(1, strings.Repeat("x", size))
			}
			o.must(t, j, c)
			history = append(history, c.Record)
		}
		orders, histories = append(orders, o), append(histories, history)
	}
	var all sync.WaitGroup
	defer all.Wait()
	for range 20 {
		for i, o := range orders {
			all.Go(func() {
				n := 0
				for r, err := range j.Records(t.Context(), o.handle, 1) {
					if err != nil || n == len(histories[i]) || r.First != messages.Version(n+1) || !bytes.Equal(r.Data, histories[i][n]) {
						t.Errorf("history %d: step %d of %d is version %d, %v", i, n, len(histories[i]), r.First, err)
						return
					}
					n++
				}
				if n != len(histories[i]) {
					t.Errorf("history %d has %d records, want %d", i, n, len(histories[i]))
				}
			})
		}
		all.Go(func() {
			for _, err := range j.Records(t.Context(), messages.NewHandle(1, time.Now()), 1) {
				if !errors.Is(err, persistence.ErrNotFound) {
					t.Errorf("history of an order that does not exist: %v", err)
				}
			}
		})
	}
}
