package journaltest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

func testRecords(t env) {
	j := open(t)
	// Another order on either side.
	accepted(t, j)
	o := accepted(t, j)
	accepted(t, j)
	records := [][]byte{record(1, "accept")}
	firsts := []messages.Version{1}
	// Beyond the versions that take one byte in a key, or two.
	for o.version < 70_000 {
		c := o.step(1)
		if o.version > 300 {
			c = o.step(9_973)
		}
		records, firsts = append(records, c.Record), append(firsts, c.Expected+1)
		o.must(t, j, c)
	}
	read := func(from messages.Version) (got []messages.Version) {
		for r, err := range j.Records(t.Context(), o.handle, from) {
			if err != nil {
				t.Fatalf("from %d: %v", from, err)
			}
			i := slices.Index(firsts, r.First)
			if i < 0 || !bytes.Equal(r.Data, records[i]) {
				t.Fatalf("from %d: another record at version %d", from, r.First)
			}
			got = append(got, r.First)
		}
		return got
	}
	for _, from := range []messages.Version{0, 1, 2, 246, 247, 248, 249, 255, 256, 257, 301, 302, 303, 10_275, 65_535, 65_536, o.version, o.version + 1, 1 << 40} {
		start := len(firsts)
		for i := range firsts {
			if end := append(slices.Clone(firsts), o.version+1)[i+1]; end > max(from, 1) {
				start = i
				break
			}
		}
		if got := read(from); !slices.Equal(got, firsts[start:]) {
			t.Errorf("from %d: %d records, want %d", from, len(got), len(firsts[start:]))
		}
	}
	for _, err := range j.Records(t.Context(), o.handle, 0) {
		if err != nil {
			t.Error(err)
		}
		break // An iteration that is left early does no harm.
	}
	found := 0
	for _, err := range j.Records(t.Context(), messages.NewHandle(1, time.Now()), 0) {
		found++
		wantErr(t, "history of an order that does not exist", err, persistence.ErrNotFound)
	}
	if found != 1 {
		t.Errorf("%d steps over a history that does not exist", found)
	}
}

func testFeatureLevel(t env) {
	j := open(t)
	o := accepted(t, j)
	o.must(t, j, o.step(1))
	c := o.step(1)
	b, err := proto.Marshal(&journalv1.Record{FeatureLevel: persistence.NewestLevel + 1, Events: []*journalv1.Event{{At: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	c.Record = b
	o.must(t, j, c)
	var steps []error
	for _, err := range j.Records(t.Context(), o.handle, 0) {
		steps = append(steps, err)
	}
	if len(steps) != 3 || steps[0] != nil || steps[1] != nil || !errors.Is(steps[2], persistence.ErrFeatureLevel) {
		t.Errorf("reading a record of a higher level: %v", steps)
	}
}

func testOpen(t env) {
	j := open(t)
	const p = 77
	var want []*order
	for i := range 10 {
		for _, partition := range []messages.Partition{p - 1, p, p + 1} {
			o := newOrder().in(partition)
			o.must(t, j, o.accept(1))
			switch {
			case i%3 == 1:
				o.must(t, j, o.end(orderv1.Status_STATUS_COMPLETED))
			case partition == p:
				want = append(want, o)
			}
		}
	}
	found := openOrders(t, j, p)
	if len(found) != len(want) {
		t.Fatalf("%d open orders, want %d", len(found), len(want))
	}
	for i, o := range want {
		if found[i].Handle != o.handle || !proto.Equal(found[i].Row, o.open) {
			t.Errorf("open order %d is %v, want %v", i, found[i], o.open)
		}
	}
	for _, limit := range []int{0, 1, len(want), len(want) + 1} {
		got, err := j.Open(t.Context(), p, messages.Handle{}, limit)
		if err != nil || len(got) != min(limit, len(want)) {
			t.Errorf("limit %d: %d, %v", limit, len(got), err)
		}
	}
}

func testDue(t env) {
	j := open(t)
	const p = 200
	at := time.Unix(1_700_000_000, 0)
	orders := map[messages.Handle]*order{}
	for i := range 12 {
		o := newOrder().in(p)
		if i%4 == 3 {
			o.in(p + 1)
		}
		// Some are due at once, some never, many at the same time.
		if i%3 == 0 {
			o.open.Due = at.Add(time.Duration(i/6) * time.Second).UnixNano()
		}
		o.must(t, j, o.accept(1))
		if i%3 != 1 {
			o.must(t, j, o.wait(at.Add(time.Duration(12-i)*time.Second).UnixNano()))
		}
		switch i {
		case 2:
			o.must(t, j, o.end(orderv1.Status_STATUS_CANCELLED))
		case 5:
			o.must(t, j, o.wait(0))
		case 6:
			o.must(t, j, o.step(1))
		case 8:
			o.must(t, j, o.wait(o.open.GetDue()))
		}
		orders[o.handle] = o
	}
	var want []persistence.DuePlace
	for _, o := range orders {
		if due := o.open.GetDue(); o.partition == p && due != 0 {
			want = append(want, persistence.DuePlace{At: due, Handle: o.handle})
		}
	}
	slices.SortFunc(want, persistence.DuePlace.Compare)
	for behind := range len(want) + 1 {
		var after persistence.DuePlace
		if behind > 0 {
			after = want[behind-1]
		}
		for _, n := range []int{0, 1, 2, 100} {
			found, err := j.Due(t.Context(), p, after, n)
			if err != nil {
				t.Fatal(err)
			}
			var got []persistence.DuePlace
			for _, f := range found {
				got = append(got, persistence.DuePlace{At: f.Row.GetDue(), Handle: f.Handle})
				if o := orders[f.Handle]; o == nil || !proto.Equal(o.open, f.Row) {
					t.Errorf("due row of %s: %v", f.Handle, f.Row)
				}
			}
			if rest := want[behind:]; !slices.Equal(got, rest[:min(n, len(rest))]) {
				t.Errorf("behind %d, at most %d: %v, want %v", behind, n, got, rest)
			}
		}
	}
}

func testOverflow(t env) {
	j := t.Open(t)
	of := persistence.Overflow{Activity: "hss.create", Priority: 5, Partition: 9}
	task := func(at int64, frame uint32) *journalv1.Overflow {
		return &journalv1.Overflow{Activity: of.Activity, Priority: int32(of.Priority), At: at, Frame: frame, Bytes: frame * 100}
	}
	newIn := func(p messages.Partition, tasks ...*journalv1.Overflow) *order {
		o := newOrder().in(p)
		o.open.Overflow = tasks
		o.must(t, j, o.accept(1))
		return o
	}
	var want []persistence.OverflowedTask
	expect := func(o *order, at int64, frame uint32) {
		want = append(want, persistence.OverflowedTask{
			OverflowPlace: persistence.OverflowPlace{At: at, Frame: frame, Handle: o.handle}, Order: o.id, Bytes: int(frame) * 100,
		})
	}
	late := newIn(9, task(300, 2))
	fork := newIn(9, task(100, 3), task(100, 2))
	expect(fork, 100, 2)
	expect(fork, 100, 3)
	expect(newIn(9, task(200, 1)), 200, 1)
	expect(late, 300, 2)
	// Others are not in the way.
	newIn(10, task(100, 1))
	other := task(150, 1)
	other.Priority = 6
	more := task(150, 2)
	more.Activity = "hss.createMore"
	newIn(9, other, more)
	// What is over is gone; what comes again is a task of its own.
	ended := newIn(9, task(50, 1))
	ended.must(t, j, ended.end(orderv1.Status_STATUS_FAULTED))
	again := newIn(9, task(50, 1))
	again.must(t, j, again.overflow())
	again.must(t, j, again.overflow(task(400, 1)))
	again.must(t, j, again.overflow(task(400, 1)))
	expect(again, 400, 1)
	check := func() {
		t.Helper()
		for limit := 1; limit <= len(want)+1; limit++ {
			var all []persistence.OverflowedTask
			for after := (persistence.OverflowPlace{}); ; {
				page, err := j.Overflowed(t.Context(), of, after, limit)
				if err != nil || len(page) > limit {
					t.Fatalf("limit %d: %v, %v", limit, page, err)
				}
				all = append(all, page...)
				if len(page) < limit {
					break
				}
				after = page[limit-1].OverflowPlace
			}
			if !slices.Equal(all, want) {
				t.Errorf("limit %d: %+v\nwant %+v", limit, all, want)
			}
		}
	}
	check()
	wrong := newOrder()
	wrong.open.Overflow = []*journalv1.Overflow{{Activity: "a.b", Priority: 256}}
	if err := commit(j, wrong.accept(1)); err == nil {
		t.Error("a priority of 256 passed")
	}
	closeJournal(t, j)
	j = t.Open(t)
	check()
	closeJournal(t, j)
}

func testDefinitions(t env) {
	j := t.Open(t)
	row := func(namespace, name, version, document string) *journalv1.DefinitionRow {
		return &journalv1.DefinitionRow{
			Namespace: namespace, Name: name, Version: version, Document: []byte(document), Hash: []byte("hash of " + document),
			DeployedAt: 5, Title: "A title", Activities: []string{"hss.create", "sms.send"},
		}
	}
	rows := []*journalv1.DefinitionRow{
		row("a", "a", "1.0.0", "one"), row("a", "a", "1.0.1", "two"), row("a", "a-b", "1.0.0", "three"), row("b", "a", "0.1.0", "four"),
	}
	for _, i := range []int{2, 0, 3, 1} {
		stored, err := j.PutDefinition(t.Context(), rows[i])
		if err != nil || !proto.Equal(stored, rows[i]) {
			t.Fatalf("put: %v, %v", stored, err)
		}
	}
	again := row("a", "a", "1.0.0", "one")
	again.DeployedAt = 6
	if stored, err := j.PutDefinition(t.Context(), again); err != nil || !proto.Equal(stored, rows[0]) {
		t.Errorf("put again: %v, %v", stored, err)
	}
	_, err := j.PutDefinition(t.Context(), row("a", "a", "1.0.0", "other"))
	wantErr(t, "another document", err, persistence.ErrConflict)
	retireDefinitions(t, j, rows)
	removeDefinitions(t, j, rows)
	check := func(j persistence.Journal) {
		i := 0
		for got, err := range j.AllDefinitions(t.Context()) {
			if err != nil || i >= len(rows) || !proto.Equal(got, rows[i]) {
				t.Fatalf("definition %d: %v, %v", i, got, err)
			}
			i++
		}
		if i != len(rows) {
			t.Errorf("%d definitions", i)
		}
		for _, err := range j.AllDefinitions(t.Context()) {
			if err != nil {
				t.Error(err)
			}
			break
		}
		for _, want := range rows {
			ref := messages.RefOf(want)
			if got, err := j.Definition(t.Context(), ref); err != nil || !proto.Equal(got, want) {
				t.Errorf("definition %s: %v, %v", ref, got, err)
			}
		}
		for _, ref := range []messages.DefinitionRef{{Namespace: "a", Name: "a", Version: "1"}, {Namespace: "a", Name: "", Version: "1.0.0"}, {}} {
			_, err := j.Definition(t.Context(), ref)
			wantErr(t, "definition "+ref.String(), err, persistence.ErrNotFound)
		}
	}
	check(j)
	closeJournal(t, j)
	check(open(t))
}

// retireDefinitions retires the first two definitions, and reinstates the second.
func retireDefinitions(t env, j persistence.Journal, rows []*journalv1.DefinitionRow) {
	first := messages.DefinitionRef{Namespace: "a", Name: "a", Version: "1.0.0"}
	second := messages.DefinitionRef{Namespace: "a", Name: "a", Version: "1.0.1"}
	retired := &journalv1.Retirement{At: 7, By: "jane", Reason: "wrong"}
	rows[0].Retirement = retired
	for _, step := range []struct {
		what string
		ref  messages.DefinitionRef
		r    *journalv1.Retirement
		want *journalv1.DefinitionRow
	}{
		{"reinstate what is not retired", first, nil, &journalv1.DefinitionRow{Hash: rows[0].GetHash()}},
		{"retire", first, retired, rows[0]},
		{"retire again", first, &journalv1.Retirement{At: 8}, rows[0]},
		{"retire the second", second, retired, &journalv1.DefinitionRow{Hash: rows[1].GetHash(), Retirement: retired}},
		{"reinstate the second", second, nil, rows[1]},
	} {
		got, err := j.RetireDefinition(t.Context(), step.ref, step.r)
		if err != nil || !bytes.Equal(got.GetHash(), step.want.GetHash()) || !proto.Equal(got.GetRetirement(), step.want.GetRetirement()) {
			t.Errorf("%s: %v, %v", step.what, got, err)
		}
	}
	_, err := j.RetireDefinition(t.Context(), messages.DefinitionRef{Namespace: "a", Name: "a", Version: "2.0.0"}, retired)
	wantErr(t, "retire what is not there", err, persistence.ErrNotFound)
	again := proto.CloneOf(rows[0])
	again.Retirement = nil
	if got, err := j.PutDefinition(t.Context(), again); err != nil || !proto.Equal(got, rows[0]) {
		t.Errorf("put what is retired: %v, %v", got, err)
	}
}

func testLimits(t env) {
	j := t.Open(t)
	put := func(activity string, rate float64, concurrency uint32) {
		t.Helper()
		err := j.PutLimit(t.Context(), &journalv1.LimitRow{Activity: activity, Rate: rate, Concurrency: concurrency, By: "me", Reason: "why", At: 7})
		if err != nil {
			t.Errorf("put %s: %v", activity, err)
		}
	}
	check := func(want ...string) {
		t.Helper()
		var got []string
		for row, err := range j.AllLimits(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(row.GetActivity(), " ", row.GetRate(), " ", row.GetConcurrency(), " ", row.GetBy(), " ", row.GetReason(), " ", row.GetAt()))
		}
		if !slices.Equal(got, want) {
			t.Errorf("limits are %v, want %v", got, want)
		}
	}
	check()
	put("b.x", 0, 4)
	put("a.x", 0.5, 0)
	put("a.y", 1, 1)
	put("b.x", 0, 5)
	check("a.x 0.5 0 me why 7", "a.y 1 1 me why 7", "b.x 0 5 me why 7")
	put("a.y", 0, 0)
	put("none", 0, 0)
	closeJournal(t, j)
	j = t.Open(t)
	check("a.x 0.5 0 me why 7", "b.x 0 5 me why 7")
	for _, wrong := range []*journalv1.LimitRow{{Rate: 1}, {Activity: "a.b", Rate: -1}} {
		if err := j.PutLimit(t.Context(), wrong); err == nil {
			t.Errorf("%v passed", wrong)
		}
	}
	closeJournal(t, j)
}

// removeDefinitions removes definitions, and puts the third again, which takes it back.
func removeDefinitions(t env, j persistence.Journal, rows []*journalv1.DefinitionRow) {
	third, fourth := messages.RefOf(rows[2]), messages.RefOf(rows[3])
	_, err := j.RemoveDefinition(t.Context(), third, 9)
	wantErr(t, "remove what is not retired", err, persistence.ErrConflict)
	_, err = j.RemoveDefinition(t.Context(), messages.DefinitionRef{Namespace: "a", Name: "a", Version: "2.0.0"}, 9)
	wantErr(t, "remove what is not there", err, persistence.ErrNotFound)
	retired := &journalv1.Retirement{At: 8, By: "jane"}
	rows[3].Retirement = &journalv1.Retirement{At: 8, By: "jane", RemovedAt: 9}
	for _, ref := range []messages.DefinitionRef{third, fourth} {
		if _, err := j.RetireDefinition(t.Context(), ref, retired); err != nil {
			t.Error(err)
		}
		for _, at := range []int64{9, 10} {
			if got, err := j.RemoveDefinition(t.Context(), ref, at); err != nil || !proto.Equal(got.GetRetirement(), rows[3].GetRetirement()) {
				t.Errorf("remove %s: %v, %v", ref, got, err)
			}
		}
	}
	other := proto.CloneOf(rows[2])
	other.Hash = []byte("another")
	_, err = j.PutDefinition(t.Context(), other)
	wantErr(t, "another document in place of one that is removed", err, persistence.ErrConflict)
	if got, err := j.PutDefinition(t.Context(), rows[2]); err != nil || !proto.Equal(got, rows[2]) {
		t.Errorf("put what is removed: %v, %v", got, err)
	}
}
