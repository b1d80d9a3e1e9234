package postgres_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/postgres"
	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
)

// archived is a server whose WAL is archived.
type archived struct {
	*server

	dir, archive string
	settings     []string
	backups      int
}

func newArchived(t *testing.T) *archived {
	t.Helper()
	bin := programs(t)
	if _, err := os.Stat(filepath.Join(bin, "pg_basebackup")); err != nil {
		t.Skipf("SKIPPED: backups are not tested: %v", err)
	}
	dir := folder(t)
	a := &archived{dir: dir, archive: filepath.Join(dir, "archive")}
	err := os.Chmod(dir, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if a.settings, err = pgserver.Archive(a.archive); err != nil {
		t.Fatal(err)
	}
	a.settings = append(a.settings, small...)
	if a.server, err = startServer(bin, a.dir, a.settings...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	return a
}

// backup takes a base backup of the server, and makes another one of it, which is not started.
func (a *archived) backup(t *testing.T) *server {
	t.Helper()
	a.backups++
	dir := filepath.Join(a.dir, fmt.Sprint("backup", a.backups))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := a.Backup(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// startRestored starts a server that was made of a backup, and waits until it takes writes.
func startRestored(t *testing.T, s *server) {
	t.Helper()
	if err := s.Start(small...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	awaitThat(t, func() bool { return ask(t, s, "postgres", `SELECT pg_is_in_recovery()::int`) == 0 })
}

// kept is how much of each order was confirmed at a moment, as far as a load has noted it.
func (l *load) kept() map[messages.OrderID]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[messages.OrderID]int{}
	for _, w := range l.orders {
		all[w.id] = len(w.records)
	}
	return all
}

// restored counts the orders of a load, and the records, that a journal lacks which was restored from a backup. It must have all that was
// kept; what it has of others must be what was committed, from the first record on, without a gap.
func (l *load) restored(j persistence.Journal, kept map[messages.OrderID]int) (orders, records int) {
	l.t.Helper()
	for _, w := range l.orders {
		var got [][]byte
		for r, err := range j.Records(l.t.Context(), w.handle, 0) {
			if err != nil && !errors.Is(err, persistence.ErrNotFound) {
				l.t.Fatalf("read order %s: %v", w.id, err)
			}
			if err == nil {
				got = append(got, bytes.Clone(r.Data))
			}
		}
		if len(got) < kept[w.id] {
			l.t.Errorf("order %s has %d records, %d were confirmed before the backup", w.id, len(got), kept[w.id])
		}
		for i, r := range got[:min(len(got), len(w.records))] {
			if !bytes.Equal(r, w.records[i]) {
				l.t.Errorf("order %s has another record %d than was confirmed", w.id, i+1)
			}
		}
		records += max(len(w.records)-len(got), 0)
		if len(got) == 0 && len(w.records) > 0 {
			orders++
		}
	}
	return orders, records
}

// A base backup is taken under load, and restored after more was confirmed, as it is, or with the archived WAL up to some time: it is refused
// by who starts with it, until the loss is accepted. Then all that was confirmed before that moment is there, and orders go on; and the
// server of before is refused for good.
func TestBackupRestored(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		toATime  bool
		timeline int64
	}{"as it is": {false, 1}, "to a time": {true, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			original := newArchived(t)
			config := configured(t, original.server, original.Address)
			config.Lanes = 2
			j, epochs := opened(t, config)
			l := startLoad(t, j, &epochs, 8)
			l.await(&l.confirmed, 100)
			kept := l.kept()
			restored := original.backup(t)
			l.await(&l.confirmed, 100)
			if test.toATime {
				kept = l.kept()
				now := time.UnixMicro(ask(t, original.server, "postgres", `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`))
				target := "recovery_target_time=" + now.UTC().Format("2006-01-02 15:04:05.000000+00")
				if err := restored.Recover(original.archive, target); err != nil {
					t.Fatal(err)
				}
			}
			l.await(&l.confirmed, 100)
			l.end()
			original.Stop() // so that all its WAL is archived
			startRestored(t, restored)

			known := map[messages.Incarnation]messages.Watermarks{j.Incarnation(): j.Watermarks()}
			before := config.Shards
			config.Shards = []string{restored.Address(databaseOf(config))}
			d := acceptRestored(t, restored, config, known, test.timeline)
			config.Watermarks = &heard{known: d.all().To}
			next, owned := opened(t, config)
			orders, records := l.restored(next, kept)
			if orders == 0 || records == 0 {
				t.Errorf("%d orders and %d records are lost: the server is not as it was before", orders, records)
			}
			t.Logf("%d of %d orders are lost, and %d records", orders, len(l.orders), records)
			more := startLoad(t, next, &owned, 4)
			more.await(&more.confirmed, 50)
			more.end()

			if err := original.Start(original.settings...); err != nil {
				t.Fatal(err)
			}
			config.Shards, config.Watermarks = before, &heard{known: d.all().To}
			if _, err := postgres.Open(t.Context(), config); !errors.Is(err, persistence.ErrUnavailable) ||
				!strings.Contains(err.Error(), "generation 1 has begun since") {
				t.Errorf("the server of before: %v", err)
			}
		})
	}
}

// acceptRestored makes sure that a server is refused which was restored, and not written to, and has its loss accepted.
func acceptRestored(
	t *testing.T, restored *server, config postgres.Config, known map[messages.Incarnation]messages.Watermarks, timeline int64,
) *desk {
	t.Helper()
	was := ask(t, restored, databaseOf(config), writings)
	config.Watermarks = &heard{known: known}
	if _, err := postgres.Open(t.Context(), config); !errors.Is(err, persistence.ErrUnavailable) || !strings.Contains(err.Error(), "lost commits") {
		t.Fatalf("a server as it was before: %v", err)
	}
	d := newDesk(t, config, known)
	shown := d.show()[0]
	if shown.GetTimeline() != timeline || len(shown.GetLost()) != 2 {
		t.Errorf("the server is %v", shown)
	}
	if now := ask(t, restored, databaseOf(config), writings); now != was {
		t.Errorf("the server was written to: %d, and was %d", now, was)
	}
	if g, err := d.accept(shown.GetConfirm()); err != nil || g != 1 {
		t.Fatalf("accepted: generation %d, %v", g, err)
	}
	return d
}

// takenOver opens a journal that another incarnation had, and owns all partitions.
func takenOver(
	t *testing.T, config postgres.Config, from messages.Incarnation,
) (j *postgres.Journal, epochs [messages.Partitions]messages.Epoch) {
	t.Helper()
	j = joined(t, config)
	if err := j.Fence(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	if n, err := claim(t, j, &epochs); err != nil || n != messages.Partitions {
		t.Fatalf("%d partitions were claimed: %v", n, err)
	}
	return j, epochs
}

// A server crashes under load. A base backup of it goes on with the archived WAL, and what was not archived, up to the end: nothing is lost,
// and nothing has to be accepted. The server of before, once it is back, lacks what was confirmed since, and is refused.
func TestBackupRecoveredToTheEnd(t *testing.T) {
	t.Parallel()
	original := newArchived(t)
	config := configured(t, original.server, original.Address)
	config.Lanes = 2
	j, epochs := opened(t, config)
	l := startLoad(t, j, &epochs, 8)
	l.await(&l.confirmed, 100)
	restored := original.backup(t)
	l.await(&l.confirmed, 100)
	admin(t, original.server, `SELECT pg_switch_wal()`)
	l.await(&l.confirmed, 100)
	original.Kill()
	l.stop()
	known := map[messages.Incarnation]messages.Watermarks{j.Incarnation(): j.Watermarks()}
	if err := errors.Join(restored.Salvage(t.Context(), original.server), restored.Recover(original.archive)); err != nil {
		t.Fatal(err)
	}
	startRestored(t, restored)

	before := config.Shards
	config.Shards = []string{restored.Address(databaseOf(config))}
	config.Watermarks = &heard{known: known}
	d := newDesk(t, config, known)
	if x := d.show()[0]; x.GetTimeline() != 2 || x.GetConfirm() != "" || len(x.GetLost()) != 0 {
		t.Errorf("the server is %v", x)
	}
	next, owned := takenOver(t, config, j.Incarnation())
	if orders, records := l.restored(next, l.kept()); orders+records != 0 {
		t.Errorf("%d orders and %d records are lost", orders, records)
	}
	for lane := range messages.Partition(2) {
		acceptAtLast(t, next, &owned, inLane(lane))
	}
	known[next.Incarnation()] = next.Watermarks()

	if err := original.Start(original.settings...); err != nil {
		t.Fatal(err)
	}
	config.Shards, config.Watermarks = before, &heard{known: known}
	if _, err := postgres.Open(t.Context(), config); !errors.Is(err, persistence.ErrUnavailable) || !strings.Contains(err.Error(), "lost commits") {
		t.Errorf("the server of before: %v", err)
	}
}

// A dump that was made while nobody had the journal has everything, also on another server.
func TestDumpRestored(t *testing.T) {
	t.Parallel()
	original, other := sharedServer(t), newArchived(t)
	config := configured(t, original, original.Address)
	j, epochs := opened(t, config)
	l := startLoad(t, j, &epochs, 4)
	l.await(&l.confirmed, 100)
	l.end()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	known := map[messages.Incarnation]messages.Watermarks{j.Incarnation(): j.Watermarks()}
	to := other.Address(database(t, other.server))
	file := filepath.Join(t.TempDir(), "dump")
	for _, args := range [][]string{
		{"pg_dump", "--format=custom", "--file=" + file, "--dbname=" + config.Shards[0]},
		{"pg_restore", "--exit-on-error", "--single-transaction", "--dbname=" + to, file},
	} {
		program := filepath.Join(programs(t), args[0])
		if out, err := exec.CommandContext(t.Context(), program, args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", args[0], err, out)
		}
	}
	config.Shards, config.Watermarks = []string{to}, &heard{known: known}
	next, owned := takenOver(t, config, j.Incarnation())
	if orders, records := l.restored(next, l.kept()); orders+records != 0 {
		t.Errorf("%d orders and %d records are lost", orders, records)
	}
	more := startLoad(t, next, &owned, 4)
	more.await(&more.confirmed, 50)
	more.end()
}
