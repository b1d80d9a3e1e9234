package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
	"github.com/holdfast-run/holdfast/persistence/pebble"
	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// embedded is an embedded journal with orders of all kinds, in the state in which a node has left it, and what it holds, as text.
func embedded(t *testing.T) (dir, state string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "journal")
	j := openEmbedded(t, dir)
	journaltest.Fill(t, j, 30)
	if err := j.PutLimit(t.Context(), &journalv1.LimitRow{Activity: "fill.activity", Rate: 7}); err != nil {
		t.Fatal(err)
	}
	if _, err := j.NewGeneration(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := journaltest.Own(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	state = sortedState(t, j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, state
}

func openEmbedded(t *testing.T, dir string) *pebble.Journal {
	t.Helper()
	j, err := pebble.Open(pebble.Config{Dir: dir, Logger: discard(), MemTableBytes: 1 << 20, LowWaterBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// sortedState is what a journal holds, in lines: in which order queues of different keys come is the journal's own.
func sortedState(t *testing.T, j persistence.Journal) string {
	t.Helper()
	text, err := journaltest.State(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text, "\n")
	for row, err := range j.AllLimits(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint("limit ", row.GetActivity(), row.GetRate()))
	}
	level, err := j.FeatureLevel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fallout, err := j.Fallout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.Join(append(lines, fmt.Sprint("level ", level, " fallout ", fallout)), "\n")
}

// target is where there is no journal yet, in so many databases.
func target(t *testing.T, shards int) postgres.Config {
	t.Helper()
	config := postgres.Config{Logger: discard(), Lanes: 1, Readers: 2, AnswerWithin: 20 * time.Second}
	for range shards {
		config.Shards = append(config.Shards, sharedServer(t).Address(database(t, sharedServer(t))))
	}
	return postgres.SmallImports(config)
}

// imports runs an import as long as tell does not end it.
func imports(
	t *testing.T, dir string, config postgres.Config, tell func(context.CancelFunc, postgres.ImportProgress),
) (done postgres.Imported, err error) {
	t.Helper()
	source, _, err := pebble.OpenSource(t.Context(), pebble.Check{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	return postgres.Import(ctx, config, source, func(p postgres.ImportProgress) { tell(cancel, p) })
}

func goOn(context.CancelFunc, postgres.ImportProgress) {}

// What an embedded journal holds is in the databases afterwards: histories byte for byte, rows, indexes, queues with their positions, epochs,
// and the catalogue. It is the same if the import is ended after each of its steps and begun anew, however often. Until it is complete no
// node can use the databases, and afterwards none can use what was imported.
func TestImport(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 3} {
		for _, ended := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d shards, ended %v", shards, ended), func(t *testing.T) {
				t.Parallel()
				dir, want := embedded(t)
				config := target(t, shards)
				if ended {
					importInPieces(t, dir, config)
				} else if _, err := imports(t, dir, config, goOn); err != nil {
					t.Fatal(err)
				}
				if _, err := pebble.Open(pebble.Config{Dir: dir, Logger: discard()}); err == nil || !strings.Contains(err.Error(), "was moved") {
					t.Errorf("a node uses what was moved: %v", err)
				}
				before := goesOn(t, config, want)
				node, err := postgres.Open(t.Context(), config) // of a cluster
				if err != nil {
					t.Fatal(err)
				}
				if done, err := imports(t, dir, config, goOn); err != nil || !done.Before || done.Journal == "" {
					t.Errorf("again: %+v, %v", done, err)
				}
				if err := node.Fence(t.Context(), before); err != nil {
					t.Fatal(err)
				}
				if _, err := journaltest.Own(t.Context(), node); err != nil {
					t.Errorf("a node that has the journal was disturbed: %v", err)
				}
				if err := node.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// importInPieces ends an import after some steps, and begins it anew, until it is complete.
func importInPieces(t *testing.T, dir string, config postgres.Config) {
	t.Helper()
	for runs, told := 1, 0; ; runs, told = runs+1, told+3 {
		steps := 0
		done, err := imports(t, dir, config, func(end context.CancelFunc, p postgres.ImportProgress) {
			if steps++; steps > told || p.Compares && runs < 3 {
				end()
			}
		})
		if err == nil {
			if done.Before || runs < 5 {
				t.Errorf("%+v after %d runs", done, runs)
			}
			return
		}
		if !errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), "cancel") {
			t.Fatal(err)
		}
		halfUsed(t, config)
	}
}

// halfUsed makes sure that no node uses a journal whose import is not complete.
func halfUsed(t *testing.T, config postgres.Config) {
	t.Helper()
	if j, err := postgres.Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), "journal import") {
		if err == nil {
			_ = j.Close()
		}
		t.Fatalf("a node uses half a journal: %v", err)
	}
}

// killed is a source whose process is killed when it has marked it as moved.
type killed struct{ *pebble.Source }

var errKilled = errors.New("killed")

func (k killed) MarkMoved(to string) error { return errors.Join(k.Source.MarkMoved(to), errKilled) }

// Killed at the last moment, an import leaves two journals of which nobody can use either, until it is run again. It is not confused by
// another place.
func TestImportKilledAtTheEnd(t *testing.T) {
	t.Parallel()
	dir, want := embedded(t)
	config := target(t, 2)
	source, _, err := pebble.OpenSource(t.Context(), pebble.Check{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Import(t.Context(), config, killed{source}, func(postgres.ImportProgress) {}); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	halfUsed(t, config)
	if _, err := pebble.Open(pebble.Config{Dir: dir, Logger: discard()}); err == nil || !strings.Contains(err.Error(), "was moved") {
		t.Errorf("a node uses what was moved: %v", err)
	}
	importRefused(t, dir, target(t, 2), "was moved before", goOn)
	if done, err := imports(t, dir, config, goOn); err != nil || done.Before {
		t.Errorf("again: %+v, %v", done, err)
	}
	goesOn(t, config, want)
}

// goesOn opens what was imported, and goes on with it: it holds what is wanted, positions are higher than before, and so are epochs. It
// returns who it was.
func goesOn(t *testing.T, config postgres.Config, want string) messages.Incarnation {
	t.Helper()
	config.Alone = true
	j, err := postgres.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	if got := sortedState(t, j); got != want {
		t.Errorf("the journal has\n%s\nand should have\n%s", got, want)
	}
	before, err := j.Owners(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	epochs, err := journaltest.Own(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	for p, epoch := range epochs {
		if epoch <= before[p].Epoch || epoch.Generation() != 1 {
			t.Fatalf("partition %d has epoch %d after %d", p, epoch, before[p].Epoch)
		}
	}
	highest := persistence.Position(0)
	for p := range messages.Partition(messages.Partitions) {
		heads, err := j.QueuedKeys(t.Context(), p, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, head := range heads {
			queue, err := j.Queue(t.Context(), p, head.Key, 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			highest = max(highest, queue[len(queue)-1].Position)
		}
	}
	c := journaltest.Acceptance("queues")
	c.Row.OrderKey, c.Open.OrderKey, c.Open.Queued = "new key", "new key", true
	done := make(chan error, 1)
	c.Done = func(err error) { done <- err }
	j.Commit(c)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	queue, err := j.Queue(t.Context(), c.Partition, "new key", 0, 10)
	if err != nil || len(queue) != 1 || highest == 0 || queue[0].Position <= highest {
		t.Errorf("the next position is that of %+v, and %d was given before: %v", queue, highest, err)
	}
	journaltest.Fill(t, j, 10)
	return j.Incarnation()
}

// Nothing is imported where something else is, or from a journal that has changed since, and what differs is found.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	t.Run("AnotherJournal", func(t *testing.T) {
		t.Parallel()
		dir, _ := embedded(t)
		config := target(t, 2)
		j, err := postgres.Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		importRefused(t, dir, config, "has a journal already", goOn)
		openEmbeddedAgain(t, dir)
	})
	t.Run("OfAnotherSource", func(t *testing.T) {
		t.Parallel()
		first, _ := embedded(t)
		dir, _ := embedded(t)
		config := target(t, 1)
		if _, err := imports(t, first, config, goOn); err != nil {
			t.Fatal(err)
		}
		importRefused(t, dir, config, "imported from journal", goOn)
		importRefused(t, first, target(t, 1), "was moved before", goOn)
	})
	t.Run("ChangedSince", func(t *testing.T) {
		t.Parallel()
		dir, _ := embedded(t)
		config := target(t, 1)
		importRefused(t, dir, config, "cancel", func(end context.CancelFunc, _ postgres.ImportProgress) { end() })
		openEmbeddedAgain(t, dir)
		importRefused(t, dir, config, "has changed since", goOn)
	})
	one := func(table, where string) string {
		return `(SELECT handle FROM ` + table + ` WHERE ` + where + ` ORDER BY handle DESC LIMIT 1)`
	}
	for name, sql := range map[string]string{
		"history":     `UPDATE events SET record = record || '\x00' WHERE handle = ` + one("events", "true"),
		"records":     `DELETE FROM events WHERE handle = ` + one("events", "true"),
		"due":         `UPDATE orders SET due = due + 1 WHERE handle = ` + one("orders", "due IS NOT NULL"),
		"row":         `UPDATE orders SET row = row || row WHERE handle = ` + one("orders", "true"),
		"position":    `UPDATE orders SET position = position + 1 WHERE queue IS NOT NULL`,
		"label":       `DELETE FROM labels WHERE handle = ` + one("labels", "true"),
		"labels":      `INSERT INTO labels (label, handle) VALUES (gen_random_uuid(), gen_random_uuid())`,
		"overflow":    `UPDATE overflow SET at = at + 1`,
		"events":      `INSERT INTO events SELECT gen_random_uuid(), 1, 1, record FROM events LIMIT 1`,
		"definition":  `DELETE FROM definitions`,
		"definitions": `INSERT INTO definitions SELECT 'x', name, version, row FROM definitions LIMIT 1`,
		"limit":       `DELETE FROM limits`,
		"partition":   `UPDATE partitions SET epoch = 0 WHERE partition = 7`,
		"generation":  `UPDATE meta SET generation = 0`,
	} {
		t.Run("Differs in "+name, func(t *testing.T) {
			t.Parallel()
			dir, _ := embedded(t)
			config := target(t, 1)
			spoilt := false
			importRefused(t, dir, config, "what is in the database is not", func(_ context.CancelFunc, p postgres.ImportProgress) {
				if p.Compares && !spoilt {
					spoilt = true
					execute(t, config.Shards[0], sql)
				}
			})
			openEmbeddedAgain(t, dir) // it was not moved
		})
	}
}

// importRefused runs an import that fails for a reason.
func importRefused(t *testing.T, dir string, config postgres.Config, want string, tell func(context.CancelFunc, postgres.ImportProgress)) {
	t.Helper()
	if _, err := imports(t, dir, config, tell); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("want %q: %v", want, err)
	}
}

// openEmbeddedAgain goes on with a journal that is not moved.
func openEmbeddedAgain(t *testing.T, dir string) {
	t.Helper()
	j := openEmbedded(t, dir)
	if _, err := journaltest.Own(t.Context(), j); err != nil {
		t.Error(err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

func execute(t *testing.T, at, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), at+" options=-csearch_path=holdfast")
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(context.Background()) //nolint:errcheck // a test
	if tag, err := conn.Exec(t.Context(), sql); err != nil || tag.RowsAffected() == 0 {
		t.Errorf("%s: %v, %v", sql, tag, err)
	}
}

// A journal that somebody has open is not moved.
func TestImportOfAJournalInUse(t *testing.T) {
	t.Parallel()
	dir, _ := embedded(t)
	j := openEmbedded(t, dir)
	if _, _, err := pebble.OpenSource(t.Context(), pebble.Check{Dir: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("it is opened to be moved: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
