package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"regexp"
	"slices"
	"sync"

	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
)

// lossy stands between nodes and a server of their database. When it is told to, it loses the answer to a batch that the server has made,
// and the connection with it.
type lossy struct {
	// port is where it listens, on 127.0.0.1.
	port     int
	listener net.Listener
	to       string
	all      sync.WaitGroup

	mu    sync.Mutex
	links map[*lossyLink]struct{}
	// wanted is closed when the next answer was lost; nil: none is to be.
	wanted chan struct{}
}

// lossyLink is a connection of a node's to the server.
type lossyLink struct {
	node, server net.Conn
	// batches are the names of the statements that make batches, as they were prepared; batch: the last thing asked is to run one. Both
	// belong to the lock of the lossy.
	batches [][]byte
	batch   bool
}

// newLossy stands before a port of 127.0.0.1. Stop it.
func newLossy(ctx context.Context, to int) (*lossy, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("stand before a database: %w", err)
	}
	at := listener.Addr().(*net.TCPAddr) //nolint:errcheck,forcetypeassert // it is one
	l := &lossy{port: at.Port, listener: listener, to: fmt.Sprintf("127.0.0.1:%d", to), links: map[*lossyLink]struct{}{}}
	l.all.Go(l.accept)
	return l, nil
}

// address is the connection string of a database.
func (l *lossy) address(database string) string {
	return (&pgserver.Server{Port: l.port}).Address(database)
}

// stop ends it, and all connections.
func (l *lossy) stop() {
	_ = l.listener.Close()
	l.mu.Lock()
	for x := range l.links {
		x.close()
	}
	l.mu.Unlock()
	l.all.Wait()
}

func (l *lossy) accept() {
	for {
		node, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.all.Go(func() { l.link(node) })
	}
}

// link passes on what a node and the server say to each other, until one of them ends that.
func (l *lossy) link(node net.Conn) {
	server, err := net.Dial("tcp", l.to) //nolint:noctx // on this host that takes no time
	if err != nil {
		_ = node.Close()
		return
	}
	x := &lossyLink{node: node, server: server}
	defer x.close()
	l.mu.Lock()
	l.links[x] = struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.links, x)
		l.mu.Unlock()
	}()
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() { pass(x, x.server, x.node, l.asked) })
	pass(x, x.node, x.server, l.answered)
}

func (x *lossyLink) close() {
	_ = x.node.Close()
	_ = x.server.Close()
}

// pass passes on what comes, as long as it may.
func pass(x *lossyLink, to, from net.Conn, may func(*lossyLink, []byte) bool) {
	defer x.close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !may(x, buffer[:n]) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// How the parts of PostgreSQL's protocol look that matter here: a statement is prepared with its name and its text before it is first
// run, and is run by its name. An answer has executed in it when a query was run; it ends with idle when what that did is durable.
var (
	prepares = regexp.MustCompile(`(stmtcache_[0-9a-f]+\x00)WITH lane AS \(`)
	executed = []byte("SELECT ")
	idle     = []byte{'Z', 0, 0, 0, 5, 'I'}
)

func (l *lossy) asked(x *lossyLink, says []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := prepares.FindSubmatch(says); m != nil {
		x.batches, x.batch = append(x.batches, bytes.Clone(m[1])), false
		return true
	}
	x.batch = slices.ContainsFunc(x.batches, func(name []byte) bool { return bytes.Contains(says, name) })
	return true
}

func (l *lossy) answered(x *lossyLink, says []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wanted == nil || !x.batch || !bytes.Contains(says, executed) || !bytes.HasSuffix(says, idle) {
		return true
	}
	close(l.wanted)
	l.wanted = nil
	return false
}

// hush has nothing pass, until heal is called.
func (l *lossy) hush() (heal func()) {
	l.mu.Lock()
	return sync.OnceFunc(l.mu.Unlock)
}

// lose loses the answer to the next batch, and the connection with it.
func (l *lossy) lose(ctx context.Context) error {
	lost := make(chan struct{})
	l.mu.Lock()
	l.wanted = lost
	l.mu.Unlock()
	select {
	case <-lost:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a batch: %w", context.Cause(ctx))
	}
}
