package connections

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// pipe is a connection that is metered, of which a test has both ends.
type pipe struct {
	t *testing.T
	b *Bounds
	// client writes as clients do, and node as a server does.
	client, node *http2.Framer
	told         chan Reason
	// read is told when a read of the server ends with an error.
	read chan error
	// goAway is told why the client was told that the connection is closed.
	goAway chan string
}

func newPipe(t *testing.T, config Config) *pipe {
	t.Helper()
	p := &pipe{t: t, told: make(chan Reason, 10), read: make(chan error, 1), goAway: make(chan string, 10)}
	config.Ended = func(_ net.Addr, why Reason) { p.told <- why }
	p.b = New(config)
	p.add()
	return p
}

// add connects anew, to the same bounds.
func (p *pipe) add() {
	client, inner := net.Pipe()
	server := p.b.meter(inner)
	p.client, p.node = http2.NewFramer(client, client), http2.NewFramer(server, nil)
	read := p.read
	reads := make(chan struct{})
	go func() {
		defer close(reads)
		_, err := io.Copy(io.Discard, struct{ io.Reader }{server})
		select {
		case read <- err:
		default:
		}
	}()
	framer, told := p.client, p.goAway
	tells := make(chan struct{})
	go func() {
		defer close(tells)
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			if end, is := frame.(*http2.GoAwayFrame); is {
				told <- end.ErrCode.String() + " " + string(end.DebugData())
			}
		}
	}()
	p.t.Cleanup(func() {
		_, _ = client.Close(), server.Close()
		<-reads
		<-tells
		if p.b.Calls() != 0 || p.b.Unread() != 0 || len(p.b.meters) != 0 {
			p.t.Errorf("%d calls and %d bytes are left over of %d connections", p.b.Calls(), p.b.Unread(), len(p.b.meters))
		}
	})
	_, err := io.WriteString(client, preface)
	must(p.t, errors.Join(err, p.client.WriteSettings()))
}

// call begins a call.
func (p *pipe) call(id uint32) {
	p.t.Helper()
	must(p.t, p.client.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: []byte{0x82}}))
}

// part is a message of gRPC, or the beginning of one.
func part(size, sent int) []byte {
	b := make([]byte, messageHeader+sent)
	b[3], b[4] = byte(size>>8), byte(size)
	return b
}

// Whoever sends frames that carry nothing is read at the rate that is allowed, and after ten seconds of that not at all.
func TestIdleFramesAreSlowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, Config{Idle: 100})
		began := time.Now()
		sent := 1 // the settings
		for ; len(p.told) == 0; sent++ {
			must(t, p.client.WritePing(true, [8]byte{}))
			if took := time.Since(began); took == 0 && sent > 410 {
				t.Fatalf("%d frames are read at once", sent)
			}
		}
		if took := time.Since(began); took < 9*time.Second || took > 12*time.Second || sent < 1200 || sent > 1500 {
			t.Errorf("%d frames are read in %v", sent, took)
		}
		if why := <-p.told; why != IdleFrames {
			t.Errorf("closed because of %s", why)
		}
		if text := <-p.goAway; text != "ENHANCE_YOUR_CALM closed by the node: idle_frames" {
			t.Errorf("the client is told %q", text)
		}
		if err := <-p.read; !errors.Is(err, errEnded) || !strings.HasSuffix(err.Error(), "idle_frames") {
			t.Errorf("the server is told %v", err)
		}
	})
}

// Whoever pauses is not closed, and work pays for what belongs to it.
func TestWorkPays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, Config{Idle: 100})
		ping := func(times int) {
			for range times {
				must(t, p.client.WritePing(true, [8]byte{}))
			}
		}
		for range 10 { // more than is allowed at once, and then less
			ping(500)
			time.Sleep(time.Minute)
		}
		began := time.Now()
		p.call(1)
		for range 10_000 { // a message in two pieces, its answer, and two window updates for that
			must(t, errors.Join(
				p.client.WriteData(1, false, part(3, 0)), p.client.WriteData(1, false, make([]byte, 3)), p.node.WriteData(1, false, part(2, 2)),
				p.client.WriteWindowUpdate(0, 7), p.client.WriteWindowUpdate(1, 7),
			))
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("work was slowed for %v", took)
		}
		for id := uint32(3); id < 2000; id += 2 { // calls that are whole and answered cost nothing; those that are reset do
			p.call(id)
			must(t, errors.Join(p.client.WriteData(id, true, part(0, 0)), p.node.WriteData(id, true, part(0, 0))))
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("calls were slowed for %v", took)
		}
		for id := uint32(2001); id < 4000; id += 2 {
			p.call(id)
			must(t, p.client.WriteRSTStream(id, http2.ErrCodeCancel))
		}
		if took := time.Since(began); took < 9*time.Second {
			t.Errorf("1,000 resets took %v", took)
		}
	})
}

// Of a stream is unread what came of a message that is not whole, and what the server has not taken.
func TestUnread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, Config{Window: 1000})
		wants := func(calls, unread int64) {
			t.Helper()
			synctest.Wait()
			if p.b.Calls() != calls || p.b.Unread() != unread {
				t.Fatalf("%d calls and %d bytes unread, want %d and %d", p.b.Calls(), p.b.Unread(), calls, unread)
			}
		}
		p.call(1)
		wants(1, 0)
		must(t, p.client.WriteData(1, false, part(100, 60)))
		wants(1, 65)
		must(t, p.client.WriteData(1, false, make([]byte, 40))) // the server has it, or will have it soon
		wants(1, 0)
		p.call(3)
		for range 8 {
			must(t, p.client.WriteData(3, false, part(95, 95)))
		}
		wants(2, 550) // but for a quarter of the window
		must(t, p.node.WriteWindowUpdate(3, 500))
		wants(2, 50)
		must(t, p.node.WriteRSTStream(3, http2.ErrCodeCancel))
		wants(1, 0)
		must(t, p.client.WriteDataPadded(1, false, part(100, 10), make([]byte, 50)))
		wants(1, 15)
		must(t, p.client.WriteRSTStream(1, http2.ErrCodeCancel))
		wants(0, 0)
		for id := uint32(5); id < 15; id += 2 {
			p.call(id)
			must(t, p.client.WriteData(id, true, part(100, 10)))
		}
		wants(5, 75)
		must(t, p.node.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, EndHeaders: true, EndStream: true, BlockFragment: []byte{0x88}}))
		must(t, p.node.WriteData(7, true, nil))
		wants(3, 45)
	})
}

// Where too much is unread, those go of which some is for longest, however little that is.
func TestTooMuchUnread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, Config{Unread: 1000})
		began := func(bytes int) <-chan error {
			p.call(1)
			must(t, p.client.WriteData(1, false, part(10_000, bytes-messageHeader)))
			synctest.Wait()
			time.Sleep(time.Second)
			return p.read
		}
		oldest := began(100)
		p.read = make(chan error, 1)
		p.add()
		middle := began(300)
		p.read = make(chan error, 1)
		p.add()
		newest := began(600)
		if len(p.told) > 0 || p.b.Unread() != 1000 {
			t.Fatalf("%d are closed, at %d bytes", len(p.told), p.b.Unread())
		}
		must(t, p.client.WriteData(1, false, []byte{1}))
		synctest.Wait()
		if err := <-oldest; !errors.Is(err, errEnded) {
			t.Errorf("the oldest ends with %v", err)
		}
		if why := <-p.told; why != Unreadable {
			t.Errorf("closed because of %s", why)
		}
		time.Sleep(2 * time.Second)
		if len(newest) > 0 || len(middle) != 1 {
			t.Errorf("the newest has ended %d times, the one before %d times", len(newest), len(middle))
		}
		if p.b.Unread() > 1000*7/8+1 {
			t.Errorf("%d bytes are unread still", p.b.Unread())
		}
	})
}

// What is unread of a connection that is to be closed counts no more from then on, and not twice when it is.
func TestUnreadOfWhatIsClosed(t *testing.T) {
	t.Parallel()
	b := New(Config{Unread: 1000})
	holds := func(bytes int64, since time.Time) *meter {
		client, inner := net.Pipe()
		t.Cleanup(func() { _ = client.Close() })
		m, is := b.meter(inner).(*meter)
		if !is {
			t.Fatal("it is not metered")
		}
		m.reading.Store(true) // by somebody who takes long to see that it is doomed
		m.start(1)
		m.streams[1].unread, m.streams[1].since = bytes, since
		m.countUnread(bytes)
		return m
	}
	oldest := holds(600, time.Unix(1, 0))
	newest := holds(500, time.Unix(2, 0))
	b.relieve()
	if oldest.doomed.Load() == nil || newest.doomed.Load() != nil || b.Unread() != 500 {
		t.Errorf("%d bytes are unread, and the oldest connection is doomed: %v, the newest: %v", b.Unread(), oldest.doomed.Load() != nil,
			newest.doomed.Load() != nil)
	}
	must(t, oldest.Close())
	if b.Unread() != 500 {
		t.Errorf("%d bytes are unread once it is closed", b.Unread())
	}
	must(t, newest.Close())
	if b.Unread() != 0 {
		t.Errorf("%d bytes are unread of nobody", b.Unread())
	}
}

// A client that takes nothing of what it is sent loses its connection, also if it took much before, whoever has set the time of a write.
func TestNotReading(t *testing.T) {
	t.Parallel()
	for _, taken := range []int{0, 1, 10, 1000} {
		synctest.Test(t, func(t *testing.T) {
			told := make(chan Reason, 1)
			b := New(Config{WriteWithin: time.Minute, Ended: func(_ net.Addr, why Reason) { told <- why }})
			client, inner := net.Pipe()
			server := b.meter(inner)
			defer server.Close() //nolint:errcheck // the test is over
			defer client.Close() //nolint:errcheck // the same
			go func() { _, _ = io.CopyN(io.Discard, client, int64(taken)) }()
			for i := range taken {
				if _, err := server.Write([]byte("x")); err != nil {
					t.Fatalf("write %d: %v", i, err)
				}
				if i%7 == 0 {
					if err := server.SetDeadline(time.Time{}); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Second)
			}
			began := time.Now()
			_, err := server.Write([]byte("x"))
			if took := time.Since(began); err == nil || took < time.Minute || took > time.Minute*9/8 {
				t.Errorf("after %d bytes, %v: %v", taken, took, err)
			}
			if why := <-told; why != NotReading {
				t.Errorf("closed because of %s", why)
			}
		})
	}
}

// Whoever begins more streams than the server can have refused is closed.
func TestTooManyStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, Config{Streams: 10, Idle: 100_000})
		id := uint32(1)
		for ; len(p.told) == 0; id += 2 {
			p.call(id)
			synctest.Wait()
		}
		if why := <-p.told; why != TooManyStreams || id/2 != 2*10+moreStreams+1 {
			t.Errorf("closed because of %s at stream %d", why, id/2)
		}
	})
}

// Streams that the server refuses carry nothing.
func TestRefusedStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, Config{Streams: 10, Idle: 10})
		began := time.Now()
		id := uint32(1)
		for ; id < 20; id += 2 {
			p.call(id)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("it is slowed for %v by what it may begin", took)
		}
		for ; len(p.told) == 0; id += 2 {
			p.call(id)
			synctest.Wait()
		}
		if why := <-p.told; why != IdleFrames || id/2 > 100 {
			t.Errorf("closed because of %s at stream %d", why, id/2)
		}
	})
}
