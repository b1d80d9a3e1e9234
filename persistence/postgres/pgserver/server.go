package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// installed are where Debian has the programs of PostgreSQL, the version that is tried first.
var installed = []string{"/usr/lib/postgresql/15/bin"} //nolint:gochecknoglobals // a constant

// ErrMissing is why there is no server: PostgreSQL is not installed.
var ErrMissing = errors.New("PostgreSQL is not installed: install postgresql-15")

// Programs is the folder with the programs of PostgreSQL.
func Programs() (string, error) {
	for _, bin := range installed {
		if _, err := os.Stat(filepath.Join(bin, "initdb")); err == nil {
			return bin, nil
		}
	}
	return "", fmt.Errorf("%w; it was looked for in %v", ErrMissing, installed)
}

// Server is a PostgreSQL server, with its data in a folder and on a free port of this host.
type Server struct {
	// Bin is the folder with the programs, Data that with the data. Log is the file that gets what the server says.
	Bin, Data, Log string
	// Port is where it listens, on 127.0.0.1.
	Port int
	// Also is another address at which it listens: see Open.
	Also netip.Prefix
	// Process is the server as it was started last.
	Process *exec.Cmd
	// paused are the processes that stand still; nil: none does.
	paused []int
	// port keeps Port for the server while that does not run. It is given back with the Server.
	port *os.File
}

// Make makes a server whose data and log are in a folder, which every user may enter then. It is not started.
func Make(ctx context.Context, bin, dir string) (*Server, error) {
	s := &Server{Bin: bin, Data: filepath.Join(dir, "data"), Log: filepath.Join(dir, "server.log")}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the user that the server runs as must get in
		return nil, fmt.Errorf("prepare %s: %w", dir, err)
	}
	if err := os.Mkdir(s.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	attributes, err := as(s.Data)
	if err != nil {
		return nil, err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"),
		"-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", "-D", s.Data)
	initdb.SysProcAttr, initdb.Dir = attributes, s.Data
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return s, s.TakePort()
}

// Standby makes a standby of the server, in a folder that every user may enter then. The server must not run, so that a
// copy of its files is a backup. It is not synchronous unless the primary says so of "standby". It is not started.
func (s *Server) Standby(ctx context.Context, dir string) (*Server, error) {
	standby := &Server{Bin: s.Bin, Data: filepath.Join(dir, "data"), Log: filepath.Join(dir, "server.log")}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the user that the server runs as must get in
		return nil, fmt.Errorf("prepare %s: %w", dir, err)
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", s.Data, standby.Data).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy the primary: %w: %s", err, out)
	}
	settings := fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=postgres application_name=standby'\n", s.Port)
	if err := errors.Join(
		appendTo(filepath.Join(standby.Data, "postgresql.auto.conf"), settings), appendTo(filepath.Join(standby.Data, "standby.signal"), ""),
	); err != nil {
		return nil, err
	}
	return standby, standby.TakePort()
}

// appendTo appends to a file of a server's, or makes it.
func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // the user that the server runs as must read it
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// as has a process run as the user postgres if this one is root, which the server refuses to be; the directory is given to it.
func as(dir string) (*syscall.SysProcAttr, error) {
	attributes := attributes()
	if os.Geteuid() != 0 {
		return attributes, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("a server does not run as root: %w", err)
	}
	uid, errUID := strconv.ParseUint(who.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(who.Gid, 10, 32)
	if err := errors.Join(errUID, errGID, os.Chown(dir, int(uid), int(gid))); err != nil {
		return nil, fmt.Errorf("give %s to %s: %w", dir, who.Username, err)
	}
	attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attributes, nil
}

// TakePort gives the server a port of 127.0.0.1 that is free, and that nobody else gets until the Server is forgotten, also while it does
// not run. A socket that does not listen is bound to it: the server can listen there too, as both allow that an address is used again.
func (s *Server) TakePort() error {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return fmt.Errorf("take a port: %w", err)
	}
	s.port = os.NewFile(uintptr(fd), "port")
	if err := errors.Join(
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
	); err != nil {
		return fmt.Errorf("take a port: %w", err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		return fmt.Errorf("take a port: %w", err)
	}
	s.Port = at.(*syscall.SockaddrInet4).Port //nolint:errcheck,forcetypeassert // it is one
	return nil
}

// Open has the server listen at an address of this host, for the network that it is in, as well. It shows when the
// server is started next.
func (s *Server) Open(at netip.Prefix) error {
	f, err := os.OpenFile(filepath.Join(s.Data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open the server to %s: %w", at, err)
	}
	_, err = fmt.Fprintf(f, "host %s %[1]s %s trust\n", "all", at.Masked())
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("open the server to %s: %w", at, err)
	}
	s.Also = at
	return nil
}

// startWithin is how long a server may take until it answers, the repair of what a crash has left included.
const startWithin = time.Minute

// Start starts the server with the data that it has, and waits until it answers. Settings have the form name=value.
func (s *Server) Start(settings ...string) error {
	attributes, err := as(s.Data)
	if err != nil {
		return err
	}
	listen := "127.0.0.1"
	if s.Also.IsValid() {
		listen += "," + s.Also.Addr().String()
	}
	args := []string{
		"-D", s.Data, "-p", strconv.Itoa(s.Port), "-c", "listen_addresses=" + listen, "-c", "unix_socket_directories=",
		"-c", "shared_buffers=64MB", "-c", "max_connections=400", "-c", "max_wal_size=1GB",
	}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer log.Close() //nolint:errcheck // the server has its own
	s.Process = exec.CommandContext(context.Background(), filepath.Join(s.Bin, "postgres"), args...)
	s.Process.SysProcAttr, s.Process.Dir, s.Process.Stdout, s.Process.Stderr = attributes, s.Data, log, log
	if err := s.Process.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.Address("postgres")+" connect_timeout=2") // what was sent while it was not there may be lost
		if err == nil {
			return conn.Close(ctx) //nolint:wrapcheck // it can't fail now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.Kill()
			return fmt.Errorf("the server does not answer: %w", err)
		}
	}
}

// Address is the connection string of a database of the server, for processes on this host.
func (s *Server) Address(database string) string { return s.address("127.0.0.1", database) }

// AlsoAddress is the connection string of a database, for processes in the network that the server was opened to.
func (s *Server) AlsoAddress(database string) string {
	return s.address(s.Also.Addr().String(), database)
}

func (s *Server) address(host, database string) string {
	return fmt.Sprintf("host=%s port=%d user=postgres dbname=%s sslmode=disable", host, s.Port, database)
}

// Stop ends the server as an operator would; Kill as a crash of its host would, but for the disk.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Kill ends the server at once: see Stop.
func (s *Server) Kill() { s.end(syscall.SIGQUIT) }

func (s *Server) end(sig syscall.Signal) {
	_ = s.Process.Process.Signal(sig)
	_ = s.Process.Wait()
}
