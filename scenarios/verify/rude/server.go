package rude

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Manner is how a server behaves on a connection. It ends when the client has hung up, or the server is closed; then the connection is
// closed, if it was not.
type Manner func(v *Visit)

// Server has a manner, at an address of this machine. Its methods are safe for concurrent use.
type Server struct {
	// Address is where it listens, host:port.
	Address string

	listener net.Listener
	closed   chan struct{}
	serving  sync.WaitGroup

	mu      sync.Mutex
	visits  map[*Visit]bool
	arrived int         // connections
	came    []time.Time // requests
	poured  int64       // the most of one answer
}

// Serve runs a server at a host of this machine, such as 127.0.0.1. Close it.
func Serve(ctx context.Context, host string, m Manner) (*Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &Server{
		Address: listener.Addr().String(), listener: listener, closed: make(chan struct{}), visits: make(map[*Visit]bool),
	}
	s.serving.Go(func() { s.accept(m) })
	return s, nil
}

func (s *Server) accept(m Manner) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // it is closed
		}
		v := &Visit{Conn: conn, server: s, below: conn}
		if !s.enter(v) {
			_ = conn.Close() // nobody waits for it
			return
		}
		s.serving.Go(func() {
			defer s.leave(v)
			m(v)
		})
	}
}

func (s *Server) enter(v *Visit) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.visits == nil {
		return false
	}
	s.visits[v] = true
	s.arrived++
	return true
}

func (s *Server) leave(v *Visit) {
	_ = v.Close() // it may have been closed, or reset
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.visits, v)
	s.poured = max(s.poured, v.poured)
}

// Close ends all connections, and waits for them.
func (s *Server) Close() {
	s.mu.Lock()
	visits := s.visits
	s.visits = nil
	close(s.closed)
	for v := range visits {
		_ = v.below.Close() // its manner sees that
	}
	s.mu.Unlock()
	_ = s.listener.Close() // nobody else does
	s.serving.Wait()
}

// Connections counts the connections that were made.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrived
}

// Requests tells when each request came.
func (s *Server) Requests() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.came)
}

// Poured is the most that a client has taken of one answer that would not end, in bytes; what lies between counts, too.
func (s *Server) Poured() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poured
}

// Visit is a connection that a client has made.
type Visit struct {
	net.Conn

	// Request is the one that was read last.
	Request *http.Request

	server *Server
	below  net.Conn // without TLS
	reader *bufio.Reader
	poured int64
}

// Came counts a request, for manners that don't read it.
func (v *Visit) Came() {
	v.server.mu.Lock()
	defer v.server.mu.Unlock()
	v.server.came = append(v.server.came, time.Now())
}

// Head reads the head of a request, and counts it. It tells whether there was one.
func (v *Visit) Head() bool {
	if v.reader == nil {
		v.reader = bufio.NewReader(v.Conn)
	}
	r, err := http.ReadRequest(v.reader)
	if err != nil {
		return false
	}
	v.Request = r
	v.Came()
	return true
}

// Next reads a request whole, and counts it. It tells whether there was one.
func (v *Visit) Next() bool {
	if !v.Head() {
		return false
	}
	_, err := io.Copy(io.Discard, v.Request.Body)
	return err == nil
}

// Say writes texts. It tells whether the client takes them.
func (v *Visit) Say(texts ...string) bool {
	for _, text := range texts {
		if _, err := io.WriteString(v.Conn, text); err != nil {
			return false
		}
	}
	return true
}

// Pour writes a text again and again, until that were so many bytes. It tells whether the client has taken them all.
func (v *Visit) Pour(text string, most int64) bool {
	for sum := int64(0); sum < most; {
		n, err := io.WriteString(v.Conn, text)
		sum += int64(n)
		v.poured += int64(n)
		if err != nil {
			return false
		}
	}
	return true
}

// Beat is how long a server rests that is slow, or waits until what it has said has arrived.
const Beat = 100 * time.Millisecond

// Rest waits for so many beats. It tells whether the server goes on.
func (v *Visit) Rest(beats int) bool {
	t := time.NewTimer(time.Duration(beats) * Beat)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-v.server.closed:
		return false
	}
}

// Drip writes a text again and again, a piece at each beat, until the client hangs up.
func (v *Visit) Drip(text string) {
	for v.Say(text) && v.Rest(1) {
		continue
	}
}

// Wait says nothing until the client hangs up.
func (v *Visit) Wait() {
	_, _ = io.Copy(io.Discard, v.Conn) // it ends when the client or the server does
}

// Reset ends the connection as no peer does that is well: what is under way on it is lost.
func (v *Visit) Reset() {
	if tcp, ok := v.below.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // else it is closed as others are
	}
	_ = v.below.Close() // so it is meant
}
