package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
)

// newer has the programs of another version of PostgreSQL, if the environment variable HOLDFAST_TEST_POSTGRES names their folder. A copy:
// the user who a server runs as need not be let in there.
var newer = sync.OnceValues(func() (dir string, err error) { //nolint:gochecknoglobals // one for all tests
	from := os.Getenv("HOLDFAST_TEST_POSTGRES")
	if from == "" {
		return "", nil
	}
	if dir, err = os.MkdirTemp("", "holdfast-postgres"); err != nil {
		return "", fmt.Errorf("copy PostgreSQL: %w", err)
	}
	return dir, errors.Join(os.Chmod(dir, 0o755), os.CopyFS(dir, os.DirFS(from)))
})

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		shared.server.Stop()
		_ = os.RemoveAll(shared.dir)
	}
	if dir, _ := newer(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// shared is the server that tests use which don't harm it. Each store has databases of its own there.
var shared struct { //nolint:gochecknoglobals // one for all tests
	once   sync.Once
	dir    string
	server *server
	err    error
}

// sharedServer starts it, if need be. Without PostgreSQL the test is skipped, and says so.
func sharedServer(tb testing.TB) *server {
	tb.Helper()
	bin := programs(tb)
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "holdfast-postgres"); shared.err == nil { //nolint:usetesting // of all tests
			shared.server, shared.err = startServer(bin, shared.dir)
		}
	})
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.server
}

// folder makes a folder for servers, which is removed when the test is over. It is not the test's own, which no other user may enter.
func folder(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "holdfast-postgres") //nolint:usetesting // see above
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// ownServer starts a server that a test may harm.
func ownServer(tb testing.TB, settings ...string) *server {
	tb.Helper()
	s, err := startServer(programs(tb), folder(tb), settings...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Stop)
	return s
}

func programs(tb testing.TB) string {
	tb.Helper()
	dir, err := newer()
	if err != nil {
		tb.Fatal(err)
	}
	if dir != "" {
		return filepath.Join(dir, "bin")
	}
	bin, err := pgserver.Programs()
	if err != nil {
		tb.Skipf("SKIPPED: the journal of a cluster is not tested: %v", err)
	}
	return bin
}

// server is a PostgreSQL server of a test's own.
type server = pgserver.Server

// startServer makes a server in a directory, and starts it.
func startServer(bin, dir string, settings ...string) (*server, error) {
	s, err := pgserver.Make(context.Background(), bin, dir)
	if err != nil {
		return nil, err
	}
	return s, s.Start(settings...)
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
