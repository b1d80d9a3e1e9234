package rows_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// drawFacts draws what an order may be.
func drawFacts(t *rapid.T) rows.Facts {
	f := rows.Facts{
		Accepted: &journalv1.OrderAccepted{
			OrderId: "o", Definition: "a/b:1.0.0", OrderKey: rapid.SampledFrom([]string{"", "k"}).Draw(t, "key"), Priority: 5,
			Labels: []*journalv1.Label{{Name: "n", Value: "v"}},
		},
		At: 7, Deadline: rapid.Int64Range(0, 2).Draw(t, "deadline"),
		Status: rapid.SampledFrom([]orderv1.Status{
			orderv1.Status_STATUS_PENDING, orderv1.Status_STATUS_RUNNING, orderv1.Status_STATUS_WAITING, orderv1.Status_STATUS_SUSPENDED,
			orderv1.Status_STATUS_COMPLETED, orderv1.Status_STATUS_FAULTED, orderv1.Status_STATUS_CANCELLED,
		}).Draw(t, "status"),
	}
	f.Key = f.Accepted.GetOrderKey()
	if rows.Ended(f.Status) {
		f.EndedAt = rapid.Int64Range(8, 9).Draw(t, "ended")
		f.Untold = rapid.Bool().Draw(t, "untold")
		if f.Status == orderv1.Status_STATUS_FAULTED {
			f.HoldsKey = f.Key != "" && rapid.Bool().Draw(t, "holds its key")
			f.Fault = &rows.Fault{Task: "/do/0/a", Title: strings.Repeat("é", 200), InDoubt: rapid.Bool().Draw(t, "in doubt")}
		}
		return f
	}
	f.NextDue = rapid.Int64Range(0, 3).Draw(t, "due")
	f.Queued = f.Status == orderv1.Status_STATUS_PENDING
	if f.Suspended = f.Status == orderv1.Status_STATUS_SUSPENDED; f.Suspended {
		f.InFlight = rapid.Bool().Draw(t, "in flight")
	}
	if f.Status == orderv1.Status_STATUS_RUNNING {
		f.Parked = rapid.Bool().Draw(t, "parked")
		for n := range rapid.IntRange(0, 2).Draw(t, "overflow") {
			f.Overflow = append(f.Overflow, rows.Overflowed{Activity: "x.do", Since: int64(n + 1), Frame: uint32(n + 1), Bytes: n})
		}
	}
	return f
}

// Rows that follow from what an order is agree with each other, follow from it, and need not be written again; and those of
// another one are written, unless they are the same.
func TestRowsFollowFromFacts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := drawFacts(t)
		row, open := f.OrderRow(3), given(f.OpenRow())
		if err := rows.Check(row); err != nil {
			t.Fatal(err)
		}
		if err := rows.Agree(row, open); err != nil {
			t.Fatal(err)
		}
		if err := f.Follow(row, open); err != nil {
			t.Fatal(err)
		}
		if f.ChangesOrder(row) || open != nil && f.ChangesOpen(open) {
			t.Fatalf("%v or %v is to be written again", row, open)
		}
		if !f.ChangesOrder(nil) || !f.ChangesOpen(nil) {
			t.Fatal("no rows are as good as these")
		}
		g := drawFacts(t)
		g.Accepted = f.Accepted // It never changes.
		g.Key = f.Key
		if f.Fault != nil && g.Fault != nil {
			g.Fault = f.Fault // Nor does the fault, unless the order ends anew.
		}
		if other := g.OrderRow(3); !g.ChangesOrder(row) && !proto.Equal(row, other) {
			t.Fatalf("%v is not written in place of %v", other, row)
		}
		if other := given(g.OpenRow()); open != nil && other != nil && !g.ChangesOpen(open) && !proto.Equal(open, other) {
			t.Fatalf("%v is not written in place of %v", other, open)
		}
	})
}

// given has a journal give a position to who queues.
func given(open *journalv1.OpenRow) *journalv1.OpenRow {
	if rows.Queues(open) {
		open.Position = 7
	}
	return open
}

// Any change of a row by itself is found to disagree with what the order is.
func TestRowsThatDoNotFollow(t *testing.T) {
	t.Parallel()
	held := rows.Facts{
		Accepted: &journalv1.OrderAccepted{OrderId: "o", Definition: "a/b:1.0.0", OrderKey: "k"}, At: 7, EndedAt: 8, Key: "k",
		Status: orderv1.Status_STATUS_FAULTED, HoldsKey: true, Fault: &rows.Fault{Task: "/do/0/a"},
	}
	told := rows.Facts{
		Accepted: &journalv1.OrderAccepted{OrderId: "o", Definition: "a/b:1.0.0"}, At: 7, EndedAt: 8,
		Status: orderv1.Status_STATUS_COMPLETED, Untold: true,
	}
	spoilt := map[string]func(*journalv1.OrderRow, *journalv1.OpenRow) *journalv1.OpenRow{
		"status": func(r *journalv1.OrderRow, o *journalv1.OpenRow) *journalv1.OpenRow {
			r.Status = int32(orderv1.Status_STATUS_RUNNING)
			return o
		},
		"not ended": func(r *journalv1.OrderRow, o *journalv1.OpenRow) *journalv1.OpenRow { r.EndedAt = 0; return o },
		"not open":  func(*journalv1.OrderRow, *journalv1.OpenRow) *journalv1.OpenRow { return nil },
		"another's": func(_ *journalv1.OrderRow, o *journalv1.OpenRow) *journalv1.OpenRow { o.Id = "x"; return o },
		"neither held nor telling": func(_ *journalv1.OrderRow, o *journalv1.OpenRow) *journalv1.OpenRow {
			o.Held, o.Telling = false, false
			return o
		},
	}
	for _, f := range []rows.Facts{held, told} {
		for name, spoil := range spoilt {
			row, open := f.OrderRow(1), f.OpenRow()
			open = spoil(row, open)
			if name != "not open" || f.HoldsKey || f.Untold {
				if err := f.Follow(row, open); err == nil {
					t.Errorf("%s: follows", name)
				}
			}
			if err := rows.Agree(row, open); err == nil && name != "not open" {
				t.Errorf("%s: agrees", name)
			}
		}
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	row := &journalv1.OrderRow{
		Id: "o", Definition: "a/b:1.0.0", OrderKey: "k", Status: int32(orderv1.Status_STATUS_FAULTED), InDoubt: true,
		Labels: []*journalv1.Label{{Name: "n", Value: "v"}},
	}
	queued := &journalv1.OpenRow{Id: "o", OrderKey: "k", Queued: true}
	waits := []rows.Place{{Index: rows.ByPartition}, {Index: rows.ByQueue, Text: "k", Number: 7}}
	if got := rows.OfOpen(nil, queued, 7); !slices.Equal(got, waits) {
		t.Errorf("places of an order that queues are %+v", got)
	}
	open := &journalv1.OpenRow{Id: "o", Due: -5, Overflow: []*journalv1.Overflow{{Activity: "x.do", Priority: 3, At: 9, Frame: 2, Bytes: 4}}}
	got := rows.OfOpen(rows.OfStatus(rows.OfOrder(nil, row), row), open, 0)
	want := []rows.Place{
		{Index: rows.ByID, Text: "o"},
		{Index: rows.ByName, Text: "a/b"},
		{Index: rows.ByKey, Text: "k"},
		{Index: rows.ByLabel, Text: "n", Value: "v"},
		{Index: rows.ByStatus, Number: int64(orderv1.Status_STATUS_FAULTED), Doubt: true},
		{Index: rows.ByPartition},
		{Index: rows.ByDue}, // A time before 1970 counts as 1970.
		{Index: rows.ByOverflow, Text: "x.do", Number: 9, Priority: 3, Frame: 2, Bytes: 4},
	}
	if !slices.Equal(got, want) {
		t.Errorf("places are %+v", got)
	}
	if got := rows.OfOpen(rows.OfStatus(nil, &journalv1.OrderRow{}), nil, 0); len(got) != 0 {
		t.Errorf("an order without rows has the places %+v", got)
	}
}

func FuzzScanRecord(f *testing.F) {
	whole, err := proto.Marshal(&journalv1.Record{
		FeatureLevel: 3, EnteredAt: 300, Events: []*journalv1.Event{{At: 1}, {}, {At: 2}},
		Entered: &journalv1.TasksEntered{Tasks: []*journalv1.TaskEntered{{Frame: 1}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, record []byte) {
		level, events, err := rows.ScanRecord(record)
		var r journalv1.Record
		if proto.Unmarshal(record, &r) != nil {
			return
		}
		if err != nil || uint32(level) != r.GetFeatureLevel() || events != len(r.GetEvents()) {
			t.Errorf("level %d and %d events, %v: it is %v", level, events, err, &r)
		}
	})
}

func TestChange(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", rows.MaxText+1)
	row := func(change func(*journalv1.OrderRow)) *journalv1.OrderRow {
		r := &journalv1.OrderRow{Id: "o", Partition: 3}
		change(r)
		return r
	}
	sound := rows.Change{
		Partition: 3, Epoch: 1, Handle: messages.NewHandle(3, time.Now()), Events: 1, Bytes: 10, ID: "o", Row: row(func(*journalv1.OrderRow) {}),
		Open: &journalv1.OpenRow{Id: "o"},
	}
	if err := sound.Check(10); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*rows.Change){
		"partition":       func(c *rows.Change) { c.Partition = messages.Partitions },
		"other partition": func(c *rows.Change) { c.Partition = 4 },
		"handle":          func(c *rows.Change) { c.Handle = messages.Handle{} },
		"events":          func(c *rows.Change) { c.Events = 0 },
		"bytes":           func(c *rows.Change) { c.Bytes = 11 },
		"no epoch":        func(c *rows.Change) { c.Epoch, c.Events = 0, 2 },
		"position":        func(c *rows.Change) { c.Open = &journalv1.OpenRow{Position: 1} },
		"no id":           func(c *rows.Change) { c.ID = "" },
		"id again":        func(c *rows.Change) { c.Expected = 1 },
		"no row":          func(c *rows.Change) { c.Row = nil },
		"not open":        func(c *rows.Change) { c.Open = nil },
		"open and closed": func(c *rows.Change) { c.Close = true },
		"priority":        func(c *rows.Change) { c.Open = &journalv1.OpenRow{Overflow: []*journalv1.Overflow{{Priority: 256}}} },
		"activity":        func(c *rows.Change) { c.Open = &journalv1.OpenRow{Overflow: []*journalv1.Overflow{{Activity: long}}} },
		"key":             func(c *rows.Change) { c.Row = row(func(r *journalv1.OrderRow) { r.OrderKey = long }) },
		"label": func(c *rows.Change) {
			c.Row = row(func(r *journalv1.OrderRow) { r.Labels = []*journalv1.Label{{Value: long}} })
		},
	} {
		c := sound
		if spoil(&c); c.Check(10) == nil {
			t.Errorf("%s: passes", name)
		}
	}
}
