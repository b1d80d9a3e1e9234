package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// servers are where Debian has the programs of PostgreSQL, the version that is tried first.
var servers = []string{"/usr/lib/postgresql/15/bin"} //nolint:gochecknoglobals // a constant

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
		shared.server.stop()
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

// ownServer starts a server that a test may harm. Its directory is not the test's own, which no other user may enter.
func ownServer(tb testing.TB, settings ...string) *server {
	tb.Helper()
	bin := programs(tb)
	dir, err := os.MkdirTemp("", "holdfast-postgres") //nolint:usetesting // see above
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	s, err := startServer(bin, dir, settings...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.stop)
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
	for _, bin := range servers {
		if _, err := os.Stat(filepath.Join(bin, "initdb")); err == nil {
			return bin
		}
	}
	tb.Skipf("SKIPPED: PostgreSQL is not in %v: install postgresql-15 to test the journal of a cluster", servers)
	return ""
}

// server is a PostgreSQL server of one's own, with its data in a directory and on a free port of this host.
type server struct {
	bin, data string
	port      int
	process   *exec.Cmd
}

// startServer makes a database cluster in a directory, and starts a server.
func startServer(bin, dir string, settings ...string) (*server, error) {
	s, err := newServer(bin, dir)
	if err != nil {
		return nil, err
	}
	return s, s.start(settings...)
}

// newServer makes a database cluster in a directory.
func newServer(bin, dir string) (*server, error) {
	s := &server{bin: bin, data: filepath.Join(dir, "data")}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", dir, err)
	}
	if err := os.Mkdir(s.data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	attributes, err := as(s.data)
	if err != nil {
		return nil, err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", "-D", s.data)
	initdb.SysProcAttr, initdb.Dir = attributes, s.data
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	s.port, err = freePort()
	return s, err
}

// as has a process run as the user postgres if this one is root, which the server refuses to be; the directory is given to it.
func as(dir string) (*syscall.SysProcAttr, error) {
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Geteuid() != 0 {
		return attributes, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("a server does not run as root: %w", err)
	}
	uid, errUID := strconv.Atoi(who.Uid)
	gid, errGID := strconv.Atoi(who.Gid)
	if err := errors.Join(errUID, errGID, os.Chown(dir, uid, gid)); err != nil {
		return nil, fmt.Errorf("give %s to %s: %w", dir, who.Username, err)
	}
	attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attributes, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close() //nolint:errcheck // it is one
}

// start starts the server with the data that it has, and waits until it answers.
func (s *server) start(settings ...string) error {
	attributes, err := as(s.data)
	if err != nil {
		return err
	}
	args := []string{
		"-D", s.data, "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "shared_buffers=64MB", "-c", "max_connections=400", "-c", "max_wal_size=1GB",
	}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	log, err := os.OpenFile(filepath.Join(filepath.Dir(s.data), "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer log.Close() //nolint:errcheck // the server has its own
	s.process = exec.Command(filepath.Join(s.bin, "postgres"), args...)
	s.process.SysProcAttr, s.process.Dir, s.process.Stdout, s.process.Stderr = attributes, s.data, log, log
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		conn, err := pgx.Connect(ctx, s.address("postgres")+" connect_timeout=2") // what was sent while it was not there may be lost
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", err)
		}
	}
}

// address is the connection string of a database of the server.
func (s *server) address(database string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=%s sslmode=disable", s.port, database)
}

// stop ends the server as an operator would; kill as a crash of its host would, but for the disk.
func (s *server) stop() { s.end(syscall.SIGINT) }

func (s *server) kill() { s.end(syscall.SIGQUIT) }

func (s *server) end(sig syscall.Signal) {
	_ = s.process.Process.Signal(sig)
	_ = s.process.Wait()
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
