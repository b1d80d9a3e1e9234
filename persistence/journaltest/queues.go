package journaltest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// intake pages through the intake of partitions.
func intake(tb testing.TB, j persistence.Recoverer, of ...messages.Partition) []messages.Handle {
	tb.Helper()
	const page = 2
	var all []messages.Handle
	for after := (messages.Handle{}); ; {
		found, err := j.Intake(tb.Context(), of, after, page)
		if err != nil || len(found) > page {
			tb.Fatalf("intake of %v: %d, %v", of, len(found), err)
		}
		for _, o := range found {
			if o.Row.GetId() == "" {
				tb.Errorf("open row of %s: %v", o.Handle, o.Row)
			}
			all = append(all, o.Handle)
		}
		if len(found) < page {
			return all
		}
		after = found[page-1].Handle
	}
}

// in has the order belong to a partition.
func (o *order) in(p messages.Partition) *order {
	o.partition, o.row.Partition, o.handle = p, uint32(p), messages.NewHandle(p, time.Now())
	return o
}

// testIntake has orders accepted by somebody who owns nothing. They wait in the intake until the owner decides about them.
func testIntake(t env) {
	j := t.Open(t)
	var orders []*order
	for i := range 7 {
		o := newOrder().in(messages.Partition(3 + i%2))
		o.insert(t, j)
		orders = append(orders, o)
	}
	own := newOrder().in(3)
	own.must(t, j, own.accept(1)) // The owner knows of it.
	want := func(j persistence.Recoverer, p messages.Partition, of ...*order) {
		t.Helper()
		wantIntake(t, j, []messages.Partition{p}, of...)
	}
	want(j, 3, orders[0], orders[2], orders[4], orders[6])
	want(j, 4, orders[1], orders[3], orders[5])
	want(j, 5)
	all := []*order{orders[0], orders[2], orders[4], orders[6], orders[1], orders[3], orders[5]}
	wantIntake(t, j, []messages.Partition{5, 4, 3}, all...)
	wantIntake(t, j, []messages.Partition{4, 200, 5, 0}, orders[1], orders[3], orders[5])
	wantIntake(t, j, nil)
	again := newOrder().in(3)
	again.id = orders[0].id
	wantErr(t, "the id again", commit(j.Journal, again.accept(1)), persistence.ErrConflict)
	own.must(t, j, own.step(1))
	orders[0].must(t, j, orders[0].step(1))
	orders[0].must(t, j, orders[0].step(1))
	orders[2].must(t, j, orders[2].wait(7))
	want(j, 3, orders[4], orders[6])
	closeJournal(t, j)
	j = open(t)
	want(j, 3, orders[4], orders[6])
	wantIntake(t, j, []messages.Partition{3, 4}, orders[4], orders[6], orders[1], orders[3], orders[5])
	// The store knows of it without having seen it accepted.
	orders[4].must(t, j, orders[4].end(orderv1.Status_STATUS_CANCELLED))
	orders[6].must(t, j, orders[6].step(1))
	want(j, 3)
	want(j, 4, orders[1], orders[3], orders[5])
	for _, o := range orders {
		o.check(t, j)
	}
}

// wantIntake checks which orders are in the intake of partitions, in the order of these, and then of their handles.
func wantIntake(tb testing.TB, j persistence.Recoverer, in []messages.Partition, of ...*order) {
	tb.Helper()
	var handles []messages.Handle
	for _, o := range of {
		handles = append(handles, o.handle)
	}
	slices.SortFunc(handles, func(a, b messages.Handle) int {
		return cmp.Or(cmp.Compare(a.Partition(), b.Partition()), bytes.Compare(a[:], b[:]))
	})
	if got := intake(tb, j, in...); !slices.Equal(got, handles) {
		tb.Errorf("intake of %v: %v, want %v", in, got, handles)
	}
}

// keyed makes an order of a key, that waits for it.
func keyed(p messages.Partition, key string) *order {
	o := newOrder().in(p)
	o.row.OrderKey = key
	o.open = &journalv1.OpenRow{Id: string(o.id), OrderKey: key, Queued: true}
	return o
}

// becomes makes a commit after which the open row is another.
func (o *order) becomes(open *journalv1.OpenRow) *persistence.Commit {
	c := o.step(1)
	c.Open = open
	return c
}

// starts makes the commit by which the order leaves its queue, queues the one by which it joins it.
func (o *order) starts() *persistence.Commit {
	return o.becomes(&journalv1.OpenRow{Id: string(o.id), OrderKey: o.row.GetOrderKey()})
}

func (o *order) queues() *persistence.Commit {
	return o.becomes(&journalv1.OpenRow{Id: string(o.id), OrderKey: o.row.GetOrderKey(), Queued: true})
}

// queue pages through the queue of a key, and checks that it is in order.
func queue(tb testing.TB, j persistence.Queues, p messages.Partition, key string) []messages.OrderID {
	tb.Helper()
	const page = 2
	var all []messages.OrderID
	for after := persistence.Position(0); ; {
		found, err := j.Queue(tb.Context(), p, key, after, page)
		if err != nil || len(found) > page {
			tb.Fatalf("queue of %q: %d, %v", key, len(found), err)
		}
		for _, o := range found {
			if o.Position <= after || o.Key != key {
				tb.Errorf("%+v is behind %d in the queue of %q", o, after, key)
			}
			after = o.Position
			all = append(all, o.ID)
		}
		if len(found) < page {
			return all
		}
	}
}

// heads pages through the first of each queue of a partition.
func heads(tb testing.TB, j persistence.Queues, p messages.Partition) map[string]messages.OrderID {
	tb.Helper()
	const page = 2
	all := map[string]messages.OrderID{}
	for after := ""; ; {
		found, err := j.QueuedKeys(tb.Context(), p, after, page)
		if err != nil || len(found) > page {
			tb.Fatalf("queued keys of %d: %d, %v", p, len(found), err)
		}
		for _, o := range found {
			if all[o.Key] != "" {
				tb.Errorf("key %q comes again", o.Key)
			}
			all[o.Key], after = o.ID, o.Key
		}
		if len(found) < page {
			return all
		}
	}
}

func ids(orders ...*order) []messages.OrderID {
	var out []messages.OrderID
	for _, o := range orders {
		out = append(out, o.id)
	}
	return out
}

// testQueue has orders wait for keys, in the order in which they were accepted or reopened, whatever their handles are.
func testQueue(t env) {
	j := t.Open(t)
	const p = 17
	a, b, c, d := keyed(p, "k"), keyed(p, "k"), keyed(p, "k"), keyed(p, "k")
	a.handle, d.handle = d.handle, a.handle
	other, elsewhere, long := keyed(p, "kk"), keyed(p+1, "k"), keyed(p, string(bytes.Repeat([]byte("k"), 300)))
	for _, o := range []*order{a, other, b, c, elsewhere, long} {
		o.must(t, j, o.accept(1))
	}
	d.insert(t, j)
	want := func(j *owning, orders ...*order) {
		t.Helper()
		if got := queue(t, j, p, "k"); !slices.Equal(got, ids(orders...)) {
			t.Errorf("the queue is %v, want %v", got, ids(orders...))
		}
		first := map[string]messages.OrderID{"kk": other.id, long.row.GetOrderKey(): long.id}
		if len(orders) > 0 {
			first["k"] = orders[0].id
		}
		if got := heads(t, j, p); fmt.Sprint(got) != fmt.Sprint(first) {
			t.Errorf("the first of each queue are %v, want %v", got, first)
		}
	}
	want(j, a, b, c, d)
	a.must(t, j, a.starts())
	b.must(t, j, b.becomes(&journalv1.OpenRow{Id: string(b.id), OrderKey: "k", Queued: true, Due: 7, Suspended: true})) // stays where it is
	want(j, b, c, d)
	c.must(t, j, c.end(orderv1.Status_STATUS_CANCELLED))
	a.must(t, j, a.queues()) // reopened
	want(j, b, d, a)
	closeJournal(t, j)
	j = open(t)
	want(j, b, d, a)
	late := keyed(p, "k")
	late.must(t, j, late.accept(1))
	b.must(t, j, b.starts())
	want(j, d, a, late)
	b.must(t, j, b.queues())
	for _, o := range []*order{d, a, late} {
		o.must(t, j, o.end(orderv1.Status_STATUS_COMPLETED))
	}
	want(j, b)
	b.must(t, j, b.starts())
	want(j)
	for _, o := range []*order{a, b, c, d, other, elsewhere, long, late} {
		o.check(t, j)
	}
	if got := queue(t, j, p+1, "k"); !slices.Equal(got, ids(elsewhere)) {
		t.Errorf("the queue elsewhere is %v", got)
	}
	for _, key := range []string{"", "none", string(bytes.Repeat([]byte("k"), 1<<17))} {
		if got := queue(t, j, p, key); len(got) > 0 {
			t.Errorf("the queue of a key that nobody waits for is %v", got)
		}
	}
}

// testQueueModel has orders join and leave queues at random, and compares those with a model, over restarts. Each run has a
// partition of its own.
func testQueueModel(t env) {
	j := t.Open(t)
	t.Cleanup(func() { closeJournal(t, j) })
	p := messages.Partition(0)
	rapid.Check(t, func(r *rapid.T) {
		if p++; p == messages.Partitions {
			p = 0
		}
		names := []string{fmt.Sprint("k", newOrder().id), fmt.Sprint("long", newOrder().id)}
		queues := map[string][]*order{}
		var out, gone []*order
		draw := func(r *rapid.T, from []*order) *order {
			if len(from) == 0 {
				r.Skip("nobody is there")
			}
			return rapid.SampledFrom(from).Draw(r, "order")
		}
		leave := func(o *order) {
			key := o.row.GetOrderKey()
			queues[key] = slices.DeleteFunc(queues[key], func(x *order) bool { return x == o })
			out = slices.DeleteFunc(out, func(x *order) bool { return x == o })
		}
		do := func(r *rapid.T, o *order, c *persistence.Commit, to persistence.Journal) {
			if err := commit(to, c); err != nil {
				r.Fatal(err)
			}
			o.done(c)
		}
		waiting := func() (all []*order) {
			for _, key := range names {
				all = append(all, queues[key]...)
			}
			return all
		}
		r.Repeat(map[string]func(*rapid.T){
			"accept": func(r *rapid.T) {
				o := keyed(p, rapid.SampledFrom(names).Draw(r, "key"))
				to := persistence.Journal(j)
				if rapid.Bool().Draw(r, "not the owner") {
					to = j.Journal
				}
				do(r, o, o.accept(1), to)
				queues[o.row.GetOrderKey()] = append(queues[o.row.GetOrderKey()], o)
			},
			"start": func(r *rapid.T) {
				o := draw(r, waiting())
				do(r, o, o.starts(), j)
				leave(o)
				out = append(out, o)
			},
			"end": func(r *rapid.T) {
				o := draw(r, append(waiting(), out...))
				do(r, o, o.end(orderv1.Status_STATUS_FAULTED), j)
				leave(o)
				gone = append(gone, o)
			},
			"queue again": func(r *rapid.T) {
				o := draw(r, append(slices.Clone(out), gone...))
				c := o.queues()
				c.Row = o.rowWith(orderv1.Status_STATUS_PENDING)
				c.Row.EndedAt = 0
				do(r, o, c, j)
				leave(o)
				gone = slices.DeleteFunc(gone, func(x *order) bool { return x == o })
				queues[o.row.GetOrderKey()] = append(queues[o.row.GetOrderKey()], o)
			},
			"stay": func(r *rapid.T) {
				o := draw(r, waiting())
				do(r, o, o.becomes(&journalv1.OpenRow{Id: string(o.id), OrderKey: o.row.GetOrderKey(), Queued: true, Due: 5}), j)
			},
			"restart": func(r *rapid.T) {
				if rapid.IntRange(0, 29).Draw(r, "really") != 0 {
					r.Skip("restarts are slow")
				}
				closeJournal(t, j)
				j = t.Open(t)
			},
			"": func(r *rapid.T) {
				first := heads(t, j, p)
				for _, key := range names {
					want := ids(queues[key]...)
					if got := queue(t, j, p, key); !slices.Equal(got, want) {
						r.Fatalf("the queue of %s is %v, want %v", key, got, want)
					}
					if got := first[key]; len(want) > 0 && got != want[0] || len(want) == 0 && got != "" {
						r.Fatalf("the first of the queue of %s is %q, want %v", key, got, want)
					}
				}
			},
		})
		for _, o := range slices.Concat(waiting(), out, gone) {
			o.check(t, j)
		}
	})
}

func testCatalogVersion(t env) {
	j := t.Open(t)
	last, err := j.CatalogVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rises := func(what string, rises bool) {
		t.Helper()
		now, err := j.CatalogVersion(t.Context())
		if err != nil || (now > last) != rises || now < last {
			t.Errorf("%s: the catalogue had version %d, and has %d: %v", what, last, now, err)
		}
		last = now
	}
	row := &journalv1.DefinitionRow{Namespace: "a", Name: "a", Version: "1.0.0", Document: []byte("d"), Hash: []byte("h")}
	ref := messages.DefinitionRef{Namespace: "a", Name: "a", Version: "1.0.0"}
	for _, rise := range []bool{true, false} {
		if _, err := j.PutDefinition(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		rises("a definition", rise)
	}
	for _, rise := range []bool{true, false} {
		if _, err := j.RetireDefinition(t.Context(), ref, &journalv1.Retirement{At: 7}); err != nil {
			t.Fatal(err)
		}
		rises("a retirement", rise)
	}
	for _, rise := range []bool{true, false} {
		if _, err := j.RemoveDefinition(t.Context(), ref, 8); err != nil {
			t.Fatal(err)
		}
		rises("a removal", rise)
	}
	for _, rise := range []bool{true, false} {
		if _, err := j.PutDefinition(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		rises("a definition that was removed", rise)
	}
	if err := j.PutLimit(t.Context(), &journalv1.LimitRow{Activity: "x.do", Rate: 1}); err != nil {
		t.Fatal(err)
	}
	rises("a limit", true)
	closeJournal(t, j)
	j = open(t)
	rises("a restart", false)
}

// testLevel reads the feature level, and raises it as far as this version goes.
func testLevel(t env) {
	j := open(t)
	want := func() {
		t.Helper()
		if level, err := j.FeatureLevel(t.Context()); err != nil || level != persistence.NewestLevel {
			t.Errorf("level %d, %v", level, err)
		}
	}
	want()
	if err := j.RaiseFeatureLevel(t.Context(), persistence.NewestLevel); err != nil {
		t.Error(err)
	}
	wantErr(t, "a level that nobody knows", j.RaiseFeatureLevel(t.Context(), persistence.NewestLevel+1), persistence.ErrFeatureLevel)
	want()
}
