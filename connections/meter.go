package connections

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// meter is a connection, above TLS if there is, that reads along what goes over it.
type meter struct {
	net.Conn

	b    *Bounds
	base *conn // beneath; nil: it is not one of a Listener
	in   frames
	tell sync.Once // why it is closed
	gone func()
	// closed is closed with the connection.
	closed chan struct{}
	// doomed is why the connection has to be closed, and reading that somebody waits in Read, who does so then.
	doomed  atomic.Pointer[Reason]
	reading atomic.Bool

	writing sync.Mutex // held while something is written
	out     frames
	renew   atomic.Int64 // from when on the time of a write has to be set anew, in nanoseconds of Unix time
	over    bool         // the client was told that nothing comes any more

	mu      sync.Mutex
	streams map[uint32]*stream // calls and streams under way; bounded by checkStreams
	last    uint32             // the latest of them
	since   time.Time          // since when there are none
	touched []*stream          // those of which something else may be unread; bounded by streams
	unread  int64
	// forgotten: what is unread counts no more, as the connection will be closed.
	forgotten bool
	whole     int    // messages that have ended in the frame that is being read
	window    uint32 // what a window update says that is being written
	opened    bool
	tokens    float64 // for frames that carry nothing; below zero: the connection is read slower
	filled    time.Time
	slow      time.Time // since when it is read slower; zero: it is not
	tooMany   bool
	finished  bool
}

// stream is a call or stream that is under way.
type stream struct {
	in, out messages
	// received is how many bytes came, and read how many the server has let the client send anew.
	received, read int64
	unread         int64
	since          time.Time // when the node began to hold something, or the server read some last
	said           bool      // the client says no more
	touched, ended bool
}

// meter begins to read along a connection.
func (b *Bounds) meter(c net.Conn) net.Conn {
	m := &meter{
		Conn: c, b: b, base: beneath(c), in: frames{preface: len(preface)}, closed: make(chan struct{}), streams: map[uint32]*stream{},
		tokens: b.config.burst(), filled: time.Now(), since: time.Now(),
	}
	m.gone = sync.OnceFunc(m.leave)
	b.mu.Lock()
	b.meters[m] = struct{}{}
	b.mu.Unlock()
	return m
}

// NetConn returns what it wraps.
func (m *meter) NetConn() net.Conn { return m.Conn }

// errEnded is what whoever serves a connection gets when it was closed for a reason of this package.
var errEnded = errors.New("connection was closed, as it cost too much")

// Read implements net.Conn.
func (m *meter) Read(b []byte) (int, error) {
	m.reading.Store(true)
	n, err := m.Conn.Read(b)
	m.reading.Store(false)
	if n > 0 {
		wait, why := m.received(b[:n])
		if why != "" {
			return 0, m.end(why)
		}
		if wait > 0 {
			m.pause(wait)
		}
		if m.b.unread.Load() > m.b.config.Unread {
			m.b.relieve()
		}
	}
	if why := m.doomed.Load(); why != nil {
		return 0, m.end(*why)
	}
	return n, err //nolint:wrapcheck // it stands for what it wraps
}

// received reads along what came. It tells how long to wait before more is read, or why the connection has to be closed.
func (m *meter) received(b []byte) (wait time.Duration, why Reason) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.in.feed(b, (*incoming)(m))
	if m.in.other {
		m.since = time.Now()
		m.hasOpened()
		return 0, ""
	}
	m.settle()
	if m.tooMany {
		return 0, TooManyStreams
	}
	return m.pace()
}

// pace tells how long a connection has to wait that has no tokens left, or that it has for too long.
func (m *meter) pace() (wait time.Duration, why Reason) {
	if m.tokens >= 0 {
		return 0, ""
	}
	now, rate := time.Now(), float64(m.b.config.Idle)
	m.tokens = min(m.b.config.burst(), m.tokens+now.Sub(m.filled).Seconds()*rate)
	m.filled = now
	if m.tokens >= 0 {
		if m.tokens >= m.b.config.burst()/2 {
			m.slow = time.Time{}
		}
		return 0, ""
	}
	if m.slow.IsZero() {
		m.slow = now
	}
	wait = time.Duration(-m.tokens / rate * float64(time.Second))
	if now.Add(wait).Sub(m.slow) > slowFor {
		return 0, IdleFrames
	}
	return wait, ""
}

func (m *meter) pause(wait time.Duration) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.closed:
	}
}

// Write implements net.Conn.
func (m *meter) Write(b []byte) (int, error) {
	m.writing.Lock()
	defer m.writing.Unlock()
	if m.over {
		return 0, errEnded
	}
	m.mu.Lock()
	if m.in.other {
		m.since = time.Now()
	} else {
		m.out.feed(b, (*outgoing)(m))
		m.settle()
	}
	m.mu.Unlock()
	if err := m.bound(); err != nil {
		return 0, err
	}
	n, err := m.Conn.Write(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		m.told(NotReading)
	}
	return n, err //nolint:wrapcheck // the same
}

// bound gives a write its time, or up to an eighth more: so it is not set anew for each.
func (m *meter) bound() error {
	now, more := time.Now(), m.b.config.WriteWithin/8
	if now.UnixNano() < m.renew.Load() {
		return nil
	}
	if err := m.SetWriteDeadline(now.Add(m.b.config.WriteWithin + more)); err != nil {
		return err
	}
	m.renew.Store(now.Add(more).UnixNano())
	return nil
}

// SetDeadline implements net.Conn.
func (m *meter) SetDeadline(t time.Time) error {
	m.renew.Store(0)
	return m.Conn.SetDeadline(t) //nolint:wrapcheck // it stands for what it wraps
}

// SetWriteDeadline implements net.Conn.
func (m *meter) SetWriteDeadline(t time.Time) error {
	m.renew.Store(0)
	return m.Conn.SetWriteDeadline(t) //nolint:wrapcheck // the same
}

// Close implements net.Conn.
func (m *meter) Close() error {
	m.gone()
	return m.Conn.Close() //nolint:wrapcheck // it stands for what it wraps
}

func (m *meter) leave() {
	close(m.closed)
	m.b.mu.Lock()
	delete(m.b.meters, m)
	m.b.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.finished = true
	for id := range m.streams {
		m.finish(id)
	}
}

func (m *meter) told(why Reason) {
	m.tell.Do(func() { m.b.config.Ended(m.RemoteAddr(), why) })
}

// lingerFor and lingerBytes bound how long and how much is read from a connection after it was closed, so that its client gets to read why.
const (
	lingerFor   = time.Second
	lingerBytes = 1 << 20
)

// end closes the connection, and says why as well as it can. The reader of the connection calls it.
func (m *meter) end(why Reason) error {
	m.told(why)
	if m.goAway(why) && m.lowest().SetReadDeadline(time.Now().Add(lingerFor)) == nil {
		_, _ = io.CopyN(io.Discard, m.Conn, lingerBytes) // until the other side closes, or its time is over
	}
	m.gone()
	_ = m.lowest().Close() // an error changes nothing; TLS would have to say something first
	return fmt.Errorf("%w: %s", errEnded, why)
}

// lowest is the connection beneath TLS.
func (m *meter) lowest() net.Conn {
	if m.base != nil {
		return m.base
	}
	return m.Conn
}

// enhanceYourCalm is the code of an error of HTTP/2.
const enhanceYourCalm = 0xb

// goAway tells the client that the connection is closed, and why, if it can be told now.
func (m *meter) goAway(why Reason) bool {
	if m.in.other || !m.writing.TryLock() {
		return false
	}
	defer m.writing.Unlock()
	m.over = true
	if !m.out.boundary() || m.SetWriteDeadline(time.Now().Add(lingerFor)) != nil {
		return false
	}
	text := "closed by the node: " + string(why)
	b := make([]byte, frameHeader, frameHeader+8+len(text))
	b[2], b[3] = byte(8+len(text)), kindGoAway //nolint:gosec // reasons are short
	m.mu.Lock()
	b = binary.BigEndian.AppendUint32(b, m.last)
	m.mu.Unlock()
	b = binary.BigEndian.AppendUint32(b, enhanceYourCalm)
	_, err := m.Conn.Write(append(b, text...))
	return err == nil
}

// hasOpened says that the client has begun to speak.
func (m *meter) hasOpened() {
	if !m.opened {
		m.opened = true
		if m.base != nil {
			m.base.hasOpened()
		}
	}
}

// How many tokens frames take, and give back. A message that was received pays for a frame of its own that has only its header, as some
// clients send. A message that was sent pays for what clients answer to it: a window update for the stream and one for the connection. So
// do bytes that were sent.
const (
	costFrame, costReset          = 1, 2
	earnReceived, earnSent        = 1, 2
	earnBytes                     = 1.0 / (1 << 10)
	tinyData               uint32 = 256 // a piece of a message may be shorter if the message ends in it
)

func (m *meter) spend(tokens float64) { m.tokens -= tokens }
func (m *meter) earn(tokens float64)  { m.tokens = min(m.b.config.burst(), m.tokens+tokens) }

// moreStreams is how many more streams than it may have a connection may begin before the server has refused them.
const moreStreams = 10_000

func (m *meter) start(id uint32) {
	m.last = id
	if m.finished {
		return
	}
	m.streams[id] = &stream{}
	m.count(1)
	if m.base != nil {
		m.base.saying.Add(1)
	}
	if len(m.streams) > m.b.config.Streams || m.base != nil && m.b.tooManyCalls(m.base.at, m.base.of) {
		m.spend(costReset) // the server resets it, or refuses it
	}
	m.tooMany = m.tooMany || len(m.streams) > 2*m.b.config.Streams+moreStreams
}

// count counts calls that have begun, or, if it is negative, that have ended.
func (m *meter) count(calls int64) {
	m.b.calls.Add(calls)
	if m.base != nil {
		m.base.of.calls.Add(calls)
	}
}

// hasSaid says that the client says no more in a call.
func (m *meter) hasSaid(s *stream) {
	if !s.said && m.base != nil {
		m.base.saying.Add(-1)
	}
	s.said = true
}

func (m *meter) finish(id uint32) {
	s := m.streams[id]
	if s == nil {
		return
	}
	delete(m.streams, id)
	if len(m.streams) == 0 {
		m.since = time.Now()
	}
	s.ended = true
	m.hasSaid(s)
	m.count(-1)
	m.countUnread(-s.unread)
}

func (m *meter) touch(s *stream) {
	if !s.touched {
		s.touched = true
		m.touched = append(m.touched, s)
	}
}

// settle counts what the streams hold that were touched.
func (m *meter) settle() {
	if len(m.touched) == 0 {
		return
	}
	var more int64
	for i, s := range m.touched {
		m.touched[i], s.touched = nil, false
		if s.ended {
			continue
		}
		// What the server tells the client to send anew it has read, but for a quarter of the window, of which it does not tell at once.
		now := max(0, s.in.unfinished(), s.received-s.read-int64(m.b.config.Window/4))
		if now > 0 && s.unread == 0 {
			s.since = time.Now()
		}
		more += now - s.unread
		s.unread = now
	}
	m.touched = m.touched[:0]
	m.countUnread(more)
}

// countUnread counts bytes that can't be read yet, or, if it is negative, no longer are unread.
func (m *meter) countUnread(more int64) {
	if more != 0 && !m.forgotten {
		m.unread += more
		m.b.unread.Add(more)
	}
}

// incoming is told of the frames that come.
type incoming meter

func (in *incoming) begin(f frame) {
	m := (*meter)(in)
	switch f.kind {
	case kindData:
		m.whole = 0
		if s := m.streams[f.stream]; s != nil {
			s.received += int64(f.length)
			m.touch(s)
		}
	case kindHeaders:
		if f.stream > m.last {
			m.start(f.stream)
			return
		}
		m.spend(costFrame) // the end of a call whose client sends trailers, which none of gRPC does
	case kindReset:
		m.spend(costReset)
		m.finish(f.stream)
	default:
		m.spend(costFrame)
	}
}

func (in *incoming) payload(f frame, piece []byte) {
	m := (*meter)(in)
	if f.kind == kindData {
		if s := m.streams[f.stream]; s != nil {
			m.whole += s.in.feed(piece)
		}
	}
}

func (in *incoming) end(f frame) {
	m := (*meter)(in)
	if f.ends() {
		if s := m.streams[f.stream]; s != nil {
			m.hasSaid(s)
		}
	}
	switch {
	case f.kind == kindSettings:
		m.hasOpened()
	case f.kind != kindData:
	case m.whole > 0:
		m.earn(float64(m.whole) * earnReceived)
	case f.length < tinyData && !f.ends(), m.streams[f.stream] == nil:
		m.spend(costFrame)
	}
}

// outgoing is told of the frames that are sent.
type outgoing meter

func (out *outgoing) begin(f frame) {
	m := (*meter)(out)
	switch f.kind {
	case kindWindow:
		m.window = 0
	case kindReset:
		m.finish(f.stream)
	}
}

func (out *outgoing) payload(f frame, piece []byte) {
	m := (*meter)(out)
	switch f.kind {
	case kindWindow:
		for _, b := range piece {
			m.window = m.window<<8 | uint32(b)
		}
	case kindData:
		m.earn(float64(len(piece)) * earnBytes)
		if s := m.streams[f.stream]; s != nil {
			m.earn(float64(s.out.feed(piece)) * earnSent)
		}
	}
}

func (out *outgoing) end(f frame) {
	m := (*meter)(out)
	if f.ends() {
		m.finish(f.stream)
		return
	}
	if s := m.streams[f.stream]; s != nil && f.kind == kindWindow {
		s.read += int64(m.window)
		s.since = time.Now()
		m.touch(s)
	}
}
