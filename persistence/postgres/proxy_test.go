package postgres_test

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// proxy stands between a journal and its server, and lets through what a test wants.
type proxy struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	changed *sync.Cond
	refuses bool // no connection is made
	links   []*link
	all     sync.WaitGroup
}

// link is a connection through the proxy. What goes to the server, or to the client, may be held back.
type link struct {
	client, server              net.Conn
	holdsRequests, holdsAnswers bool
	cuts                        bool // the client's side ends as soon as something is held back
	held                        bool // it held something back once
	over                        sync.WaitGroup
}

func newProxy(tb testing.TB, s *server) *proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{listener: l, to: fmt.Sprintf("127.0.0.1:%d", s.Port)}
	p.changed = sync.NewCond(&p.mu)
	p.all.Go(p.accept)
	tb.Cleanup(func() {
		_ = l.Close()
		for _, x := range p.release() {
			_ = x.client.Close()
			_ = x.server.Close()
		}
		p.all.Wait()
	})
	return p
}

// address is the connection string of a database behind the proxy.
func (p *proxy) address(database string) string {
	at := p.listener.Addr().(*net.TCPAddr) //nolint:errcheck // it is one
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=%s sslmode=disable", at.Port, database)
}

// hold holds back what goes through the links that there are. New ones are refused, or hold nothing back.
func (p *proxy) hold(requests, answers, refuses bool) { p.lose(requests, answers, refuses, false) }

// cut holds back as hold does, and the client's side of a link ends as soon as it has: the client learns that at once, however slow the
// machine is. The answer that gets lost is that to a statement which the server has executed, not to one that it has only prepared.
func (p *proxy) cut(requests, answers, refuses bool) { p.lose(requests, answers, refuses, true) }

func (p *proxy) lose(requests, answers, refuses, cuts bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.links {
		x.holdsRequests, x.holdsAnswers, x.cuts = requests, answers, cuts
	}
	p.refuses = refuses
}

// release lets through what was held back, and returns all links.
func (p *proxy) release() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.links {
		x.holdsRequests, x.holdsAnswers = false, false
	}
	p.refuses = false
	p.changed.Broadcast()
	return p.links
}

// connections counts those that were made through the proxy.
func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		x := &link{client: client, server: server}
		p.mu.Lock()
		if p.refuses {
			_ = client.Close()
			_ = server.Close()
		} else {
			p.links = append(p.links, x)
			x.over.Add(2) //nolint:mnd // one for each way
			p.all.Go(func() { defer x.over.Done(); p.pass(x, server, client, &x.holdsRequests) })
			p.all.Go(func() { defer x.over.Done(); p.pass(x, client, server, &x.holdsAnswers) })
		}
		p.mu.Unlock()
	}
}

// executed is in the answer to a query, or to a batch.
const executed = "SELECT "

// pass passes on what comes, unless it is held back. Who is told last that no more comes closes the link.
func (p *proxy) pass(x *link, to, from net.Conn, holds *bool) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		prepares := x.cuts && from == x.server && n > 0 && !bytes.Contains(buffer[:n], []byte(executed))
		if *holds && n > 0 && !prepares {
			x.held = true
			if x.cuts {
				_ = x.client.Close()
			}
		}
		for *holds && !prepares {
			p.changed.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			_, _ = to.Write(buffer[:n]) // who has gone away misses it
		}
		if err == nil {
			continue
		}
		if from == x.server {
			_ = x.client.Close()
			_ = x.server.Close()
		} else {
			_ = x.server.(*net.TCPConn).CloseWrite() //nolint:errcheck // it is one
		}
		return
	}
}

// unhurried is how long an answer is waited for by tests that no server leaves without one: it comes, however slow the machine is, and a
// connection that ends is noticed at once.
const unhurried = time.Minute

// configured is how a test opens a journal of one shard in a database of its own.
func configured(tb testing.TB, s *server, at func(database string) string) postgres.Config {
	tb.Helper()
	return postgres.Config{Shards: []string{at(database(tb, s))}, Logger: discard(), Lanes: 1, Readers: 2, AnswerWithin: unhurried}
}
