package journaltest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// listAll follows a query to its end.
func listAll(tb testing.TB, j persistence.Finder, q persistence.Query) []persistence.FoundOrder {
	tb.Helper()
	var all []persistence.FoundOrder
	for {
		found, next, err := j.List(tb.Context(), q)
		if err != nil || len(found) > q.Limit {
			tb.Fatalf("list %+v: %d orders, %v", q, len(found), err)
		}
		all = append(all, found...)
		if next.IsZero() {
			return all
		}
		if !q.After.IsZero() && bytes.Compare(next[:], q.After[:]) >= 0 {
			tb.Fatalf("list %+v: does not go on: %s", q, next)
		}
		q.After = next
	}
}

func testList(t env) {
	j := open(t)
	if all := listAll(t, j, persistence.Query{Limit: 5, Scan: 5}); len(all) != 0 {
		t.Errorf("an empty journal has %d orders", len(all))
	}
	var want []messages.Handle
	for range 7 {
		want = append(want, accepted(t, j).handle)
	}
	slices.Reverse(want)
	for _, size := range []struct{ limit, scan int }{{1, 1}, {1, 100}, {3, 100}, {7, 7}, {8, 100}, {100, 2}} {
		var got []messages.Handle
		for _, f := range listAll(t, j, persistence.Query{Limit: size.limit, Scan: size.scan}) {
			got = append(got, f.Handle)
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d, scan %d: %v, want %v", size.limit, size.scan, got, want)
		}
	}
}

func testListBounds(t env) {
	j := open(t)
	for _, q := range []persistence.Query{{Limit: 0, Scan: 1}, {Limit: 1, Scan: 0}, {Limit: -1, Scan: -1}} {
		if _, _, err := j.List(t.Context(), q); err == nil {
			t.Errorf("a query without bounds passed: %+v", q)
		}
	}
	for range 20 {
		accepted(t, j)
	}
	// Nothing matches, and no index says so: it must stop after Scan rows and say where.
	q := persistence.Query{Statuses: []orderv1.Status{orderv1.Status_STATUS_COMPLETED}, Limit: 10, Scan: 6}
	pages := 0
	for next := (messages.Handle{}); ; pages++ {
		q.After = next
		found, n, err := j.List(t.Context(), q)
		if err != nil || len(found) != 0 {
			t.Fatalf("%d orders, %v", len(found), err)
		}
		if next = n; next.IsZero() {
			break
		}
	}
	if pages < 3 {
		t.Errorf("20 rows were looked at in %d pages of at most 6", pages+1)
	}
}

// modelOrder is what the model knows of an order.
type modelOrder struct {
	*order

	accepted time.Time
}

var (
	modelStatuses = []orderv1.Status{
		orderv1.Status_STATUS_PENDING, orderv1.Status_STATUS_RUNNING, orderv1.Status_STATUS_WAITING,
		orderv1.Status_STATUS_COMPLETED, orderv1.Status_STATUS_FAULTED, orderv1.Status_STATUS_CANCELLED,
		orderv1.Status_STATUS_SUSPENDED,
	}
	modelDefinitions = []string{"a/b:1.0.0", "a/b:1.0.1", "a/bc:1.0.0", "x/b:1.0.0"}
	modelQueries     = append([]string{"", "a/b", "a", "a/bc", "a/b:9.9.9"}, modelDefinitions...)
	modelKeys        = []string{"", "k", "k2", "\x00", "kk"}
	modelLabels      = []*journalv1.Label{
		{Name: "region", Value: "eu"}, {Name: "region", Value: "us"}, {Name: "regione", Value: "u"}, {Name: "r", Value: ""},
	}
)

func (m *modelOrder) matches(q persistence.Query) bool {
	row := m.row
	name, _, _ := bytes.Cut([]byte(row.GetDefinition()), []byte(":"))
	for _, l := range q.Labels {
		if !slices.ContainsFunc(row.GetLabels(), func(has *journalv1.Label) bool { return proto.Equal(has, l) }) {
			return false
		}
	}
	return (len(q.Statuses) == 0 || slices.Contains(q.Statuses, orderv1.Status(row.GetStatus()))) &&
		(q.Definition == "" || q.Definition == row.GetDefinition() || q.Definition == string(name)) &&
		(q.OrderKey == "" || q.OrderKey == row.GetOrderKey()) &&
		(q.From.IsZero() || !m.accepted.Before(q.From)) && (q.To.IsZero() || m.accepted.Before(q.To)) &&
		(q.After.IsZero() || bytes.Compare(m.handle[:], q.After[:]) < 0)
}

// testListModel lets orders live at random and compares what is found with a model, between and after restarts. Each run
// has a day of its own, and sees nothing of the others.
func testListModel(t env) {
	const day = 24 * time.Hour
	start := time.Unix(1_700_000_000, 0)
	journal := t.Open(t)
	t.Cleanup(func() { closeJournal(t, journal) })
	var fallout persistence.Fallout // of the runs before
	rapid.Check(t, func(r *rapid.T) {
		start = start.Add(day)
		var orders []*modelOrder
		query := func(r *rapid.T) {
			q := drawQuery(r, start, len(orders))
			if len(orders) > 0 && rapid.Bool().Draw(r, "continue") {
				q.After = rapid.SampledFrom(orders).Draw(r, "after").handle
			}
			checkQuery(t.T, r, journal, orders, q)
		}
		r.Repeat(map[string]func(*rapid.T){
			"accept": func(r *rapid.T) {
				m := drawOrder(r, start.Add(time.Duration(len(orders))*time.Second))
				c := m.accept(1)
				if err := commit(journal, c); err != nil {
					r.Fatal(err)
				}
				m.done(c)
				orders = append(orders, m)
			},
			"move": func(r *rapid.T) {
				if len(orders) == 0 {
					r.Skip("nothing to move")
				}
				m := rapid.SampledFrom(orders).Draw(r, "order")
				c := drawMove(r, m.order)
				if err := commit(journal, c); err != nil {
					r.Fatal(err)
				}
				m.done(c)
			},
			"list": query,
			"count": func(r *rapid.T) {
				got, err := journal.Fallout(t.Context())
				if want := addFallout(fallout, orders); err != nil || got != want {
					r.Fatalf("fallout is %+v, %v, want %+v", got, err, want)
				}
			},
			"restart": func(r *rapid.T) {
				if rapid.IntRange(0, 49).Draw(r, "really") != 0 {
					r.Skip("restarts are slow")
				}
				closeJournal(t, journal)
				journal = t.Open(t)
			},
		})
		for range 5 {
			query(r)
		}
		for _, m := range orders {
			m.check(t, journal)
		}
		fallout = addFallout(fallout, orders)
	})
}

// addFallout counts what waits for an operator.
func addFallout(n persistence.Fallout, orders []*modelOrder) persistence.Fallout {
	for _, m := range orders {
		if m.row.GetStatus() == int32(orderv1.Status_STATUS_FAULTED) {
			n.Faulted++
		}
		if m.row.GetInDoubt() {
			n.InDoubt++
		}
	}
	return n
}

func drawOrder(r *rapid.T, at time.Time) *modelOrder {
	m := &modelOrder{order: newOrder(), accepted: at}
	// The handle is made when the order is accepted, or a little later.
	h := messages.HandleAt(at.Add(time.Duration(rapid.IntRange(0, 500).Draw(r, "late")) * time.Millisecond))
	copy(m.handle[:6], h[:6])
	m.row.AcceptedAt = at.UnixNano()
	m.row.Definition = rapid.SampledFrom(modelDefinitions).Draw(r, "definition")
	m.row.OrderKey = rapid.SampledFrom(modelKeys).Draw(r, "key")
	m.row.Labels = rapid.SliceOfNDistinct(rapid.SampledFrom(modelLabels), 0, 3, (*journalv1.Label).String).Draw(r, "labels")
	return m
}

// drawMove changes the status of an order: it may wait, end, or begin again.
func drawMove(r *rapid.T, o *order) *persistence.Commit {
	status := rapid.SampledFrom(modelStatuses).Draw(r, "status")
	c := o.step(1)
	c.Row = o.rowWith(status)
	c.Row.EndedAt = 0
	c.Row.InDoubt = status == orderv1.Status_STATUS_FAULTED && rapid.Bool().Draw(r, "in doubt")
	switch status {
	case orderv1.Status_STATUS_COMPLETED, orderv1.Status_STATUS_FAULTED, orderv1.Status_STATUS_CANCELLED:
		c.Row.EndedAt = o.row.GetAcceptedAt() + 1
		c.Close = true
	default:
		c.Open = &journalv1.OpenRow{Id: string(o.id), Due: rapid.Int64Range(0, 3).Draw(r, "due")}
	}
	return c
}

// drawQuery draws a query that finds orders of one day only.
func drawQuery(r *rapid.T, start time.Time, orders int) persistence.Query {
	q := persistence.Query{
		Limit: rapid.IntRange(1, 5).Draw(r, "limit"), Scan: rapid.IntRange(1, 20).Draw(r, "scan"),
		From: start, To: start.Add(12 * time.Hour),
	}
	// Few conditions at a time, so that something is found.
	asks := func(what string) bool { return rapid.IntRange(0, 3).Draw(r, what) == 0 }
	if asks("for statuses") {
		q.Statuses = rapid.SliceOfNDistinct(rapid.SampledFrom(modelStatuses), 1, 3, rapid.ID).Draw(r, "statuses")
	}
	if asks("for those that ended badly") {
		q.Statuses = []orderv1.Status{orderv1.Status_STATUS_CANCELLED, orderv1.Status_STATUS_FAULTED}
	}
	if asks("for a definition") {
		q.Definition = rapid.SampledFrom(modelQueries).Draw(r, "definition")
	}
	if asks("for a key") {
		q.OrderKey = rapid.SampledFrom(append([]string{"none"}, modelKeys...)).Draw(r, "key")
	}
	if asks("for labels") {
		q.Labels = rapid.SliceOfNDistinct(rapid.SampledFrom(modelLabels), 1, 2, (*journalv1.Label).String).Draw(r, "labels")
	}
	if rapid.Bool().Draw(r, "bounded") {
		const unit = 100 * time.Millisecond
		q.From = start.Add(time.Duration(rapid.IntRange(-1, 10*orders+1).Draw(r, "from")) * unit)
		q.To = q.From.Add(time.Duration(rapid.IntRange(-1, 100).Draw(r, "length")) * unit)
	}
	return q
}

func checkQuery(t *testing.T, r *rapid.T, j persistence.Finder, orders []*modelOrder, q persistence.Query) {
	t.Helper()
	var want []*modelOrder
	for _, m := range orders {
		if m.matches(q) {
			want = append(want, m)
		}
	}
	slices.SortFunc(want, func(a, b *modelOrder) int { return bytes.Compare(b.handle[:], a.handle[:]) })
	got := listAll(t, j, q)
	err := func() error {
		if len(got) != len(want) {
			return fmt.Errorf("%d orders, want %d", len(got), len(want))
		}
		for i, m := range want {
			if got[i].Handle != m.handle {
				return fmt.Errorf("order %d is %s, want %s", i, got[i].Handle, m.handle)
			}
			if !proto.Equal(got[i].Row, m.row) {
				return errors.New("another row of " + m.handle.String())
			}
		}
		return nil
	}()
	if err != nil {
		r.Fatalf("%+v: %v", q, err)
	}
}
