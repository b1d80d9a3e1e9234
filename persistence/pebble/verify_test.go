package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
)

func verify(tb testing.TB, fs vfs.FS, fold func(Order) error) Report {
	tb.Helper()
	report, err := Verify(tb.Context(), Check{Dir: testDir, FS: fs, Fold: fold})
	if err != nil {
		tb.Fatal(err)
	}
	return report
}

func TestVerifyWhole(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(testing.TB) (*vfs.MemFS, string){"Closed": closedStore, "Killed": killedStore} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs, want := store(t)
			var handles []messages.Handle
			events := 0
			report := verify(t, fs, func(o Order) error {
				handles = append(handles, o.Handle)
				for _, r := range o.Records {
					events += len(r.GetEvents())
				}
				if (o.Open == nil) != (o.Row.GetEndedAt() != 0) || o.Row.GetId() == "" {
					t.Errorf("order %s: %v, %v", o.Handle, o.Row, o.Open)
				}
				return nil
			})
			if report.ProblemCount != 0 || len(report.Problems) != 0 {
				t.Errorf("problems: %+v", report.Problems)
			}
			orders := int64(strings.Count(want, "order "))
			if report.Orders != orders || len(handles) != int(orders) || report.Events != int64(events) || report.Records < 2*orders ||
				report.Definitions == 0 || report.Open == 0 || report.Open >= orders || report.Bytes == 0 || report.Tables == 0 {
				t.Errorf("%d orders, %d events, report %+v", orders, events, report)
			}
			if !slices.IsSortedFunc(handles, func(a, b messages.Handle) int { return strings.Compare(a.String(), b.String()) }) {
				t.Error("not in the order of acceptance")
			}
			if again := verify(t, fs, nil); again.Digest != report.Digest || len(report.Digest) != 16 {
				t.Errorf("digest %q, then %q", report.Digest, again.Digest)
			}
			// Nothing was changed.
			if got, err := openDamaged(t, fs); err != nil || got != want {
				t.Errorf("after Verify: %v", err)
			}
		})
	}
}

// TestVerifyDeviations spoils one thing at a time behind the journal's back.
func TestVerifyDeviations(t *testing.T) {
	t.Parallel()
	fs, _ := closedStore(t)
	whole := verify(t, clone(fs), nil)
	first := func(db *pebble.DB, kind byte) (key, value []byte) {
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = it.Close() }()
		if !it.First() {
			t.Fatalf("no keys of kind %c", kind)
		}
		return slices.Clone(it.Key()), slices.Clone(it.Value())
	}
	type spoil func(db *pebble.DB, b *pebble.Batch) error
	remove := func(kind byte) spoil {
		return func(db *pebble.DB, b *pebble.Batch) error {
			key, _ := first(db, kind)
			return b.Delete(key, nil)
		}
	}
	replace := func(kind byte, value []byte) spoil {
		return func(db *pebble.DB, b *pebble.Batch) error {
			key, _ := first(db, kind)
			return b.Set(key, value, nil)
		}
	}
	stray := func(kind byte) spoil {
		return func(db *pebble.DB, b *pebble.Batch) error {
			key, value := first(db, kind)
			key[1] ^= 0x80
			return b.Set(key, value, nil)
		}
	}
	tests := map[string]struct {
		spoil spoil
		want  string
	}{
		"directory removed":      {remove(kindDirectory), "missing in an index"},
		"order row removed":      {remove(kindOrder), "has a history and no row"},
		"open row removed":       {remove(kindOpen), "the open row is <nil>"},
		"due removed":            {remove(kindDue), "missing in an index"},
		"overflow removed":       {remove(kindOverflow), "missing in an index"},
		"name removed":           {remove(kindByName), "missing in an index"},
		"key removed":            {remove(kindByKey), "missing in an index"},
		"label removed":          {remove(kindByLabel), "missing in an index"},
		"status removed":         {remove(kindByStatus), "missing in an index"},
		"format removed":         {remove(kindFormat), "format"},
		"first record removed":   {remove(kindRecord), "should be at 1"},
		"record undecodable":     {replace(kindRecord, []byte{0xff}), "record"},
		"record empty":           {replace(kindRecord, nil), "no events"},
		"record of another time": {replace(kindRecord, []byte{0x08, 99, 0x12, 0}), "feature level"},
		"order row undecodable":  {replace(kindOrder, []byte{0xff}), "row can't be decoded"},
		"order row empty":        {replace(kindOrder, nil), "order"},
		"partition too high":     {replace(kindOrder, mustMarshal(&journalv1.OrderRow{Partition: 1 << 20})), "partition"},
		"long label":             {replace(kindOrder, mustMarshal(&journalv1.OrderRow{Labels: []*journalv1.Label{{Name: strings.Repeat("x", 1<<17)}}})), "label"},
		"directory undecodable":  {replace(kindDirectory, []byte{0xff}), "directory row"},
		"directory misleads":     {replace(kindDirectory, mustMarshal(&journalv1.DirectoryRow{Handle: make([]byte, 16)})), "leads to order"},
		"open row undecodable":   {replace(kindOpen, []byte{0xff}), "open row"},
		"definition undecodable": {replace(kindDefinition, []byte{0xff}), "definition"},
		"definition elsewhere":   {replace(kindDefinition, mustMarshal(&journalv1.DefinitionRow{Name: "x"})), "holds the definition"},
		"owner undecodable":      {replace(kindOwner, []byte{1}), "not the owner"},
		"position undecodable":   {replace(kindPosition, []byte{1}), "not a number"},
		"queue removed":          {remove(kindQueue), "missing in an index"},
		"stray queue":            {stray(kindQueue), "leads to order"},
		"stray intake":           {stray(kindIntake), "leads to order"},
		"decided and in intake": {func(db *pebble.DB, b *pebble.Batch) error {
			key, _ := first(db, kindQueue) // of an order of which two events were committed
			value, _, err := getBytes(db, key)
			return errors.Join(err, b.Set(appendIntakeKey(nil, messages.Partition(key[2]), messages.Handle(value[:handleSize])), nil, nil))
		}, "more of it was committed"},
		"stray order row": {stray(kindOrder), "has a row and no history"},
		"stray record":    {stray(kindRecord), "has a history and no row"},
		"stray open row":  {stray(kindOpen), "leads to order"},
		"stray due":       {stray(kindDue), "leads to order"},
		"stray overflow":  {stray(kindOverflow), "leads to order"},
		"stray name":      {stray(kindByName), "leads to order"},
		"stray status":    {stray(kindByStatus), "leads to order"},
		"stray directory": {stray(kindDirectory), "leads to order"},
		"stray kind":      {func(_ *pebble.DB, b *pebble.Batch) error { return b.Set([]byte("zz"), nil, nil) }, "no such kind"},
		"stray last kind": {func(_ *pebble.DB, b *pebble.Batch) error { return b.Set([]byte{0xff, 0xff}, nil, nil) }, "no such kind"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := clone(fs)
			j := mustOpen(t, testConfig(fs))
			b := j.db.NewBatch()
			if err := errors.Join(test.spoil(j.db, b), b.Commit(pebble.Sync)); err != nil {
				t.Fatal(err)
			}
			mustClose(t, j)
			report := verify(t, fs, nil)
			if report.Digest == whole.Digest {
				t.Error("the digest is that of the store before")
			}
			if report.ProblemCount == 0 || !slices.ContainsFunc(report.Problems, func(p Problem) bool { return strings.Contains(p.What, test.want) }) {
				t.Errorf("problems: %+v", report.Problems)
			}
		})
	}
}

func mustMarshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// TestVerifyDamagedFiles flips bytes of each file: what is stored is what it was, or the report names the file and the
// place, at the damage or before it.
func TestVerifyDamagedFiles(t *testing.T) {
	t.Parallel()
	fs, _ := killedStore(t)
	want := verify(t, clone(fs), nil)
	names, err := fs.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]int{}
	for i, name := range names {
		content, err := readFile(fs, path.Join(testDir, name))
		if err != nil {
			t.Fatal(err)
		}
		length := len(bytes.TrimRight(content, "\x00"))
		if length == 0 || path.Ext(name) == ".sst" && i%slow != 0 {
			continue
		}
		for _, at := range []int{0, min(60, length/2), length / 3, length / 2, length - 30, length - 1} {
			damaged := clone(fs)
			flipped := slices.Clone(content)
			flipped[max(0, at)] ^= 1
			if err := writeFile(damaged, path.Join(testDir, name), flipped); err != nil {
				t.Fatal(err)
			}
			report := verify(t, damaged, nil)
			switch {
			case report.ProblemCount == 0 && report.Digest == want.Digest:
			case slices.ContainsFunc(report.Problems, func(p Problem) bool {
				_, offset, found := strings.Cut(p.What, name+" at offset ")
				offset, _, _ = strings.Cut(offset, ":")
				n, err := strconv.Atoi(offset)
				return p.File == name && found && err == nil && n <= at
			}):
				refused[strings.Trim(name, "-0123456789")]++
			default:
				t.Errorf("damage in %s at offset %d of %d: %+v", name, at, length, report)
			}
		}
	}
	t.Logf("refused: %v", refused)
	for _, kind := range []string{sealName, ".log", "MANIFEST", ".sst"} {
		if refused[kind] < 2 {
			t.Errorf("damage in files like %s was found %d times", kind, refused[kind])
		}
	}
}

// TestVerifyUnreadable takes files away, or cuts them off, without which the store can't be opened: the report names the file, and
// is not that of an empty journal. A journal is refused for the same reason.
func TestVerifyUnreadable(t *testing.T) {
	t.Parallel()
	fs, _ := closedStore(t)
	names, listErr := fs.List(testDir)
	desc, err := pebble.Peek(testDir, fs)
	if err = errors.Join(listErr, err); err != nil {
		t.Fatal(err)
	}
	table := names[slices.IndexFunc(names, func(name string) bool { return path.Ext(name) == ".sst" })]
	for _, name := range []string{table, path.Base(desc.ManifestFilename)} {
		content, err := readFile(fs, path.Join(testDir, name))
		if err != nil {
			t.Fatal(err)
		}
		for what, spoil := range map[string]func(vfs.FS) error{
			"at offset 0: the file is missing": func(fs vfs.FS) error { return fs.Remove(path.Join(testDir, name)) },
			"at offset": func(fs vfs.FS) error {
				return writeFile(fs, path.Join(testDir, name), content[:len(content)/2])
			},
		} {
			damaged := clone(fs)
			if err := spoil(damaged); err != nil {
				t.Fatal(err)
			}
			report := verify(t, damaged, nil)
			if !report.Unreadable || len(report.Problems) != 1 || report.Problems[0].File != name ||
				!strings.Contains(report.Problems[0].What, name+" "+what) {
				t.Errorf("%s, %q: %+v", name, what, report)
			}
			if _, err := openDamaged(t, damaged); !errors.Is(err, persistence.ErrCorrupt) || !strings.Contains(err.Error(), name+" "+what) {
				t.Errorf("%s, %q: opened with %v", name, what, err)
			}
		}
	}
}

// TestVerifyGivesUp damages what many orders are looked up in: the report says so, and does not look for all of them.
func TestVerifyGivesUp(t *testing.T) {
	t.Parallel()
	const orders = 3 * maxUnreadable
	fs := vfs.NewMem()
	j := mustOpen(t, testConfig(fs))
	journaltest.Fill(t, j, orders)
	if err := j.db.Flush(); err != nil {
		t.Fatal(err)
	}
	levels, err := j.db.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, j)
	for _, table := range slices.Concat(levels...) {
		if table.Smallest.UserKey[0] != kindDirectory {
			continue
		}
		name := path.Join(testDir, fmt.Sprintf("%06d.sst", table.FileNum))
		content, err := readFile(fs, name)
		if err != nil {
			t.Fatal(err)
		}
		content[10] ^= 1
		if err := writeFile(fs, name, content); err != nil {
			t.Fatal(err)
		}
	}
	report := verify(t, fs, nil)
	told := slices.ContainsFunc(report.Problems, func(p Problem) bool { return strings.Contains(p.What, "further rows and indexes") })
	if !told || report.Orders != orders || report.ProblemCount > 2*orders {
		t.Errorf("%d orders, %d problems, told that it gave up: %t", report.Orders, report.ProblemCount, told)
	}
}

// TestCheckOptions damages what the engine reads without a checksum.
func TestCheckOptions(t *testing.T) {
	t.Parallel()
	fs, _ := closedStore(t)
	desc, err := pebble.Peek(testDir, fs)
	if err != nil {
		t.Fatal(err)
	}
	content, err := readFile(fs, desc.OptionsFilename)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(content, []byte("comparer="))
	for _, spoil := range []int{at + len("comparer"), at + len("comparer=") + 3} {
		flipped := slices.Clone(content)
		flipped[spoil] ^= 1
		if err := writeFile(fs, desc.OptionsFilename, flipped); err != nil {
			t.Fatal(err)
		}
		_, err := Open(testConfig(fs))
		want := fmt.Sprintf("%s at offset %d", path.Base(desc.OptionsFilename), bytes.LastIndexByte(content[:at], '\n')+1)
		if !errors.Is(err, persistence.ErrCorrupt) || !strings.Contains(err.Error(), want) {
			t.Errorf("open: %v, want %s", err, want)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	if _, err := Verify(t.Context(), Check{Dir: testDir, FS: fs}); err == nil || !strings.Contains(err.Error(), "not a Holdfast journal") {
		t.Errorf("no directory: %v", err)
	}
	if _, err := Verify(t.Context(), Check{FS: fs}); err == nil {
		t.Error("Dir is not given")
	}
	j := mustOpen(t, testConfig(fs))
	journaltest.Fill(t, j, 5)
	if _, err := Verify(t.Context(), Check{Dir: testDir, FS: fs}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("open journal: %v", err)
	}
	mustClose(t, j)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, Check{Dir: testDir, FS: fs}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	report, err := Verify(t.Context(), Check{Dir: testDir, FS: fs, Definition: func(row *journalv1.DefinitionRow) error {
		return errors.New("can't compile " + row.GetName())
	}})
	if err != nil || report.ProblemCount != 1 || report.Problems[0].What != "can't compile definition" || report.Problems[0].Key == "" {
		t.Errorf("%+v, %v", report, err)
	}
	report = verify(t, fs, func(Order) error { return errors.New("does not fold") })
	if report.ProblemCount != 5 || report.Problems[0].What != "does not fold" || report.Problems[0].Order == "" {
		t.Errorf("%+v", report)
	}
	report, err = Verify(t.Context(), Check{Dir: testDir, FS: fs, MaxProblems: 2, Fold: func(Order) error { return errors.New("no") }})
	if err != nil || report.ProblemCount != 5 || len(report.Problems) != 2 {
		t.Errorf("%+v, %v", report, err)
	}
}

// FuzzRecords puts arbitrary bytes where rows and records are: reading and verifying them fails or not, but never panics.
func FuzzRecords(f *testing.F) {
	record := journaltest.Acceptance("order").Record
	row := mustMarshal(journaltest.Acceptance("order").Row)
	f.Add(record, row, row)
	f.Add([]byte{0x08, 99, 0x12, 0}, []byte{0xff}, []byte(nil))
	f.Add(append(record, record...), []byte{}, mustMarshal(&journalv1.DirectoryRow{Handle: []byte("short")}))
	f.Fuzz(func(t *testing.T, record, row, other []byte) {
		fs := vfs.NewMem()
		j := mustOpen(t, testConfig(fs))
		c := journaltest.Acceptance("order")
		b := j.db.NewBatch()
		keys := map[string][]byte{
			string(appendRecordKey(nil, c.Handle, 1)):                       record,
			string(appendRecordKey(nil, c.Handle, 2)):                       other,
			string(appendOrderKey(nil, c.Handle)):                           row,
			string(appendOpenKey(nil, c.Partition, c.Handle)):               other,
			string(appendDueKey(nil, c.Partition, 1, c.Handle)):             other,
			string(appendDirectoryKey(nil, "order")):                        other,
			string(append(appendNamePrefix(nil, "test/x"), c.Handle[:]...)): nil,
			string(append([]byte{kindByKey}, other...)):                     nil,
			string(append([]byte{kindRecord}, other...)):                    record,
			string(append([]byte{kindDefinition}, other...)):                row,
		}
		for key, value := range keys {
			if err := b.Set([]byte(key), value, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Commit(pebble.Sync); err != nil {
			t.Fatal(err)
		}
		_, _ = journaltest.State(t.Context(), j) // Any error will do.
		for r, err := range j.Records(t.Context(), c.Handle, 2) {
			if err == nil && len(r.Data) == 0 {
				t.Error("an empty record was read")
			}
		}
		c.Expected, c.ID, c.Epoch = 1, "", epochOf(t, j, c.Partition)
		done := make(chan error, 1)
		c.Done = func(err error) { done <- err }
		j.Commit(c)
		if err := <-done; err != nil {
			t.Logf("commit: %v", err) // Any will do.
		}
		mustClose(t, j)
		if report := verify(t, fs, func(Order) error { return nil }); report.ProblemCount == 0 && len(other) > 0 {
			t.Errorf("nothing is wrong: %+v", report)
		}
	})
}

// checkScan compares a scan of a record with its decoding.
func checkScan(t *testing.T, b []byte, events int, err error) {
	t.Helper()
	var r journalv1.Record
	if decodeErr := proto.Unmarshal(b, &r); decodeErr == nil && (err != nil || events != len(r.GetEvents())) {
		t.Errorf("%d events were counted, %d are there: %v", events, len(r.GetEvents()), err)
	}
}
