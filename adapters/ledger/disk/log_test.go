package disk

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// some are records of all kinds.
func some() []ledger.Record {
	id := &adapterv1.Result{OrderId: "o", Partition: 7, Key: "o/do/0/a", Attempt: 2, Activity: "work"}
	ended, _ := proto.Clone(id).(*adapterv1.Result)
	ended.Outcome, ended.Output = adapterv1.Outcome_OUTCOME_SUCCEEDED, []byte(`{"a":1}`)
	key := &adapterv1.Result{Key: id.GetKey()}
	return []ledger.Record{{Kind: ledger.Begun, Result: id}, {Kind: ledger.Ended, Result: ended}, {Kind: ledger.Settled, Result: key}, {Kind: ledger.Forgotten, Result: key}}
}

func open(t *testing.T, dir string) (*Log, []ledger.Record, error) {
	t.Helper()
	var records []ledger.Record
	l, err := Open(dir, "hss", func(r ledger.Record) { records = append(records, r) })
	return l, records, err
}

func mustOpen(t *testing.T, dir string) (*Log, []ledger.Record) {
	t.Helper()
	l, records, err := open(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return l, records
}

func mustClose(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, got, want []ledger.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Kind != want[i].Kind || !proto.Equal(got[i].Result, want[i].Result) {
			t.Fatalf("record %d: %v, want %v", i, got[i], want[i])
		}
	}
}

func TestRecordsSurvive(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "folder")
	first, records := mustOpen(t, dir)
	if len(records) > 0 || len(first.ID()) != 32 {
		t.Fatalf("a new ledger %q has %d records", first.ID(), len(records))
	}
	if err := first.Wait(first.Append(some()[:2])); err != nil {
		t.Fatal(err)
	}
	first.Append(some()[2:])
	mustClose(t, first)
	second, records := mustOpen(t, dir)
	same(t, records, some())
	if second.ID() != first.ID() {
		t.Errorf("its id was %q, and is %q", first.ID(), second.ID())
	}
	second.Append(some())
	mustClose(t, second)
	if err := second.Wait(second.Append(some())); err == nil {
		t.Error("a closed ledger takes records")
	}
	third, records := mustOpen(t, dir)
	same(t, records, append(some(), some()...))
	mustClose(t, third)
	for _, name := range []string{logName, lockName} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestOneProcessUsesAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, _ := mustOpen(t, dir)
	if _, _, err := open(t, dir); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("used by another process (pid %d)", os.Getpid())) {
		t.Errorf("%v", err)
	}
	child, err := syscall.Dup(int(l.lock.Fd())) // as it has the files of its parent, until it executes something else
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(child) //nolint:errcheck // nothing was written
	mustClose(t, l)
	l, _ = mustOpen(t, dir)
	mustClose(t, l)
	if _, err := Open(dir, "hlr", func(ledger.Record) {}); err == nil || !strings.Contains(err.Error(), `the adapter "hss"`) {
		t.Errorf("%v", err)
	}
}

func TestAFolderOfSomethingElseIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := open(t, dir); err == nil || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("%v", err)
	}
	if _, _, err := open(t, filepath.Join(dir, "notes.txt")); err == nil {
		t.Error("a file is taken for a folder")
	}
}

// written is a log with some records, of which the first two are known to be durable, and where each part of it begins.
func written(t *testing.T) (whole []byte, parts []int) {
	t.Helper()
	whole, err := frameOpening("0123456789abcdef", "hss")
	for i, r := range some() {
		if parts = append(parts, len(whole)); i == 2 {
			whole = append(whole, frameMark(int64(len(whole)))...)
			parts = append(parts, len(whole))
		}
		if err == nil {
			whole, err = frameRecord(whole, r)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return whole, parts
}

// before is how many records of written are whole if only the first so many bytes are as they were, and how many parts.
func before(n int, whole []byte, parts []int) (records, complete int) {
	for complete < len(parts) && n >= append(slices.Clip(parts[1:]), len(whole))[complete] {
		complete++
	}
	if records = complete; complete > 2 {
		records-- // the mark
	}
	return records, complete
}

func folder(t *testing.T, log []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, logName), log, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What is cut off is removed, wherever that is, and what comes then is appended in its place. The file may have been made longer
// before what belongs there was written.
func TestTheEndMayBeCutOff(t *testing.T) {
	t.Parallel()
	whole, parts := written(t)
	for n := range len(whole) + 1 {
		for _, zeros := range []int{0, 5000} {
			dir := folder(t, append(bytes.Clone(whole[:n]), make([]byte, zeros)...))
			l, records, err := open(t, dir)
			if n < parts[0] {
				if err == nil {
					t.Fatalf("%d bytes are taken for a ledger", n)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%d bytes and %d zeros: %v", n, zeros, err)
			}
			complete, _ := before(n, whole, parts)
			continues(t, dir, l, records, some()[:complete])
		}
	}
}

// continues checks what a log has, and that it goes on after that.
func continues(t *testing.T, dir string, l *Log, records, want []ledger.Record) {
	t.Helper()
	same(t, records, want)
	l.Append(some()[:1])
	mustClose(t, l)
	l, records = mustOpen(t, dir)
	same(t, records, append(slices.Clip(want), some()[0]))
	mustClose(t, l)
}

// Whatever byte is changed of what is known to be durable, the folder is refused, with file and offset, and nothing is changed.
// What comes then may not have been written as a whole when the machine failed.
func TestDamageIsRefused(t *testing.T) {
	t.Parallel()
	whole, parts := written(t)
	for at := range whole {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1 << (at % 8)
		dir := folder(t, damaged)
		l, records, err := open(t, dir)
		complete, part := before(at, whole, parts)
		if part >= 2 {
			if err != nil {
				t.Fatalf("byte %d is changed, which nobody may have waited for: %v", at, err)
			}
			continues(t, dir, l, records, some()[:complete])
			continue
		}
		begin := 0
		if at >= parts[0] {
			begin = parts[part]
		}
		if want := fmt.Sprintf("%s is damaged at byte %d:", filepath.Join(dir, logName), begin); err == nil ||
			!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Move the folder away") {
			t.Fatalf("byte %d is changed: %v, want %s", at, err, want)
		}
		if left, err := os.ReadFile(filepath.Join(dir, logName)); err != nil || !bytes.Equal(left, damaged) {
			t.Fatalf("byte %d is changed: the file was changed, too; %v", at, err)
		}
	}
}

// A machine that fails may have written some sectors of what nobody waited for, and not others: the folder is taken, with all
// that was durable. What was durable is still refused if it is damaged.
func TestAMachineFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, _ := mustOpen(t, dir)
	long := func(n int) ledger.Record {
		return ledger.Record{Kind: ledger.Ended, Result: &adapterv1.Result{Key: fmt.Sprint(n), Output: bytes.Repeat([]byte("x"), n)}}
	}
	l.Renew(some())
	l.Append([]ledger.Record{long(100)})
	if err := l.Wait(l.Append([]ledger.Record{long(3000), some()[0]})); err != nil {
		t.Fatal(err)
	}
	durable := len(readLog(t, dir)) - markBytes
	all := append(some(), long(100), long(3000), some()[0])
	waited := len(all)
	for _, n := range []int{10, 1500, 7000, 40, 3000} {
		all = append(all, long(n))
		l.Append(all[len(all)-1:])
	}
	mustClose(t, l)
	whole := readLog(t, dir)
	whole = whole[:len(whole)-markBytes] // it fails before all this is durable
	rapid.Check(t, func(r *rapid.T) {
		const sector = 512
		left := bytes.Clone(whole[:rapid.IntRange(durable, len(whole)).Draw(r, "length")])
		for at := durable; at < len(left); at = (at/sector + 1) * sector {
			if rapid.Bool().Draw(r, "lost") {
				clear(left[at:min((at/sector+1)*sector, len(left))])
			}
		}
		dir := folder(t, left)
		l, records, err := open(t, dir)
		if err != nil {
			r.Fatalf("%v", err)
		}
		if len(records) < waited {
			r.Fatalf("%d records are left, and %d were durable", len(records), waited)
		}
		continues(t, dir, l, records, all[:len(records)])

		if !bytes.HasPrefix(left[durable:], frameMark(int64(durable))) {
			return // the mark was lost, too
		}
		left[rapid.IntRange(0, durable-1).Draw(r, "damaged")] ^= 1
		if _, _, err := open(t, folder(t, left)); err == nil || !strings.Contains(err.Error(), "is damaged at byte") {
			r.Fatalf("damage is taken for what was being written: %v", err)
		}
	})
}

// What a process before had written, and perhaps not made durable when it was killed, is durable when the folder is open: it
// is not written down again before it counts.
func TestWhatIsFoundIsMadeDurable(t *testing.T) {
	t.Parallel()
	empty, err := frameOpening("0123456789abcdef", "hss")
	if err != nil {
		t.Fatal(err)
	}
	whole, _ := written(t)
	for name, dir := range map[string]string{
		"a new folder": t.TempDir(), "no record": folder(t, empty), "records": folder(t, whole), "a part": folder(t, whole[:len(whole)-1]),
	} {
		l, _ := mustOpen(t, dir)
		log := readLog(t, dir)
		if end := len(log) - markBytes; !bytes.Equal(log[end:], frameMark(int64(end))) {
			t.Errorf("%s: the log is not marked at its end", name)
		}
		mustClose(t, l)
	}
}

func readLog(t *testing.T, dir string) []byte {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestARecordOfANewerVersionIsRefused(t *testing.T) {
	t.Parallel()
	whole, _ := written(t)
	whole, err := frameRecord(whole, ledger.Record{Kind: 99, Result: &adapterv1.Result{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := open(t, folder(t, whole)); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("%v", err)
	}
}

func TestTheLogIsRenewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, newName), []byte("of a process that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, _ := mustOpen(t, dir)
	long := ledger.Record{Kind: ledger.Ended, Result: &adapterv1.Result{Key: "long", Output: make([]byte, 1<<20)}}
	for range 2 {
		for !l.Grown() {
			if err := l.Wait(l.Append([]ledger.Record{long})); err != nil {
				t.Fatal(err)
			}
		}
		l.Renew(some()[:1])
		if l.Grown() {
			t.Error("it is to be renewed again at once")
		}
		if err := l.Wait(l.Append(some()[1:2])); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dir, logName)); err != nil || info.Size() > 1000 {
			t.Errorf("%v, %v", info.Size(), err)
		}
	}
	l.Append(some()[2:])
	mustClose(t, l)
	l, records := mustOpen(t, dir)
	same(t, records, some())
	mustClose(t, l)
}

// If the new log can't be written as a whole, be it at its beginning or further on, the old one stays, and what was begun is known.
func TestARenewalThatFailsKeepsTheLog(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no full disk here")
	}
	long := ledger.Record{Kind: ledger.Ended, Result: &adapterv1.Result{Key: "long", Output: make([]byte, 2<<20)}}
	bad := ledger.Record{Kind: ledger.Ended, Result: &adapterv1.Result{Key: "\xff"}} // can't be encoded, when much is written already
	for want, snapshot := range map[string][]ledger.Record{
		"no space left": some()[:1],
		"invalid UTF-8": {long, bad, some()[0]},
	} {
		dir := t.TempDir()
		l, _ := mustOpen(t, dir)
		if err := l.Wait(l.Append(some()[:1])); err != nil {
			t.Fatal(err)
		}
		if want == "no space left" {
			if err := os.Symlink("/dev/full", filepath.Join(dir, newName)); err != nil {
				t.Fatal(err)
			}
		}
		l.Renew(snapshot)
		if err := <-l.Failed(); !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		mustClose(t, l)
		if info, err := os.Lstat(filepath.Join(dir, logName)); err != nil || !info.Mode().IsRegular() {
			t.Fatalf("%s: the log was replaced: %v, %v", want, info.Mode(), err)
		}
		if _, err := os.Lstat(filepath.Join(dir, newName)); !os.IsNotExist(err) {
			t.Errorf("%s: what can't be written stays behind: %v", want, err)
		}
		l, records, err := open(t, dir)
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		same(t, records, some()[:1])
		mustClose(t, l)
	}
}

// What can't be written is told to whoever waits, and once to the owner.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no full disk here")
	}
	l, _ := mustOpen(t, t.TempDir())
	_ = l.file.Close()
	l.file = full
	if err := l.Wait(l.Append(some())); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v", err)
	}
	if err := <-l.Failed(); !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v", err)
	}
	if err := l.Wait(l.Append(some())); err == nil {
		t.Error("it goes on")
	}
	mustClose(t, l)
}

func TestManyWaitTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, _ := mustOpen(t, dir)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 20 {
				if err := l.Wait(l.Append(some()[:1])); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := l.Pending(); n != 0 {
		t.Errorf("%d are pending", n)
	}
	mustClose(t, l)
	l, records := mustOpen(t, dir)
	if len(records) != 1000 {
		t.Errorf("%d records", len(records))
	}
	mustClose(t, l)
}

// FuzzScan reads anything: it ends, without a panic, and what it takes is what frame writes.
func FuzzScan(f *testing.F) {
	whole, err := frameOpening("id", "hss")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(append(whole, make([]byte, 20)...))
	f.Add(append(whole, frameMark(int64(len(whole)))...))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := scanner{from: bytes.NewReader(data)}
		for {
			at := s.at
			body, err := s.next()
			if err != nil {
				return
			}
			again, err := frame(nil, body[0], func(b []byte) ([]byte, error) { return append(b, body[1:]...), nil })
			if err != nil || !bytes.Equal(again, data[at:s.at]) {
				t.Fatalf("%v: %x, was %x", err, again, data[at:s.at])
			}
			_, _ = parse(body)
			if !bytes.Equal(again, frameMark(at)) {
				continue
			}
			if found, err := marked(bytes.NewReader(data), 0); err != nil || !found {
				t.Fatalf("the mark at %d is not found: %v", at, err)
			}
		}
	})
}
