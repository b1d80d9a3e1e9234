package attack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// What clients do.
const (
	// Expressions has orders make a million bytes each, and reads their ends.
	Expressions = "expressions"
	// Metadata sends 16 MiB of metadata with a call.
	Metadata = "metadata"
	// Streams begins 10,000 calls on a connection.
	Streams = "streams"
	// Slow sends requests a byte at a time.
	Slow = "slow"
	// Resets begins calls and resets them at once.
	Resets = "resets"
	// Continuations sends metadata that does not end, and carries nothing.
	Continuations = "continuations"
	// Floods sends other frames that carry nothing.
	Floods = "floods"
	// HalfOpen makes connections, and does not begin to speak.
	HalfOpen = "half_open"
	// Idle makes connections, and makes no call.
	Idle = "idle"
	// Connects makes a thousand connections a second.
	Connects = "connects"
	// Unread submits what is refused, under ids of a million bytes, and reads no answer.
	Unread = "unread"
	// Definitions deploys definitions of a million bytes.
	Definitions = "definitions"
	// Costly has orders evaluate for as long as they may.
	Costly = "costly"
	// Lists asks for long lists of orders.
	Lists = "lists"
)

// expressionsAtOnce is how many orders a client has under way that evaluate something.
const expressionsAtOnce = 64

func expressions(ctx context.Context, a *assault) { a.evaluate(ctx, "big", `"x" * 1000000`) }

func costly(ctx context.Context, a *assault) {
	a.evaluate(ctx, "costly", "reduce range(100000) as $i (0; . + $i)")
}

// evaluate has orders evaluate an expression, and reads their ends.
func (a *assault) evaluate(ctx context.Context, name, expression string) {
	document := fmt.Sprintf("document: {dsl: '1.0.3', namespace: evil, name: %s, version: '1.0.0'}\ndo: [{a: {set: '${ {x: (%s)} }'}}]\n",
		name, expression)
	_, err := a.conn.Definitions().Deploy(ctx, &definitionv1.DeployRequest{Document: []byte(document)})
	a.failed(ctx, err)
	atOnce(ctx, expressionsAtOnce, func(int) {
		_, err := a.conn.Orders().Submit(ctx, &orderv1.SubmitRequest{
			Order: &orderv1.WorkOrder{Id: string(messages.NewOrderID()), Definition: "evil/" + name + ":1.0.0"}, Wait: orderv1.Wait_WAIT_ENDED,
		})
		a.did.Add(1)
		a.failed(ctx, err)
	})
}

func lists(ctx context.Context, a *assault) {
	atOnce(ctx, 16, func(int) {
		_, err := a.conn.Orders().List(ctx, &orderv1.ListRequest{PageSize: 1000})
		a.did.Add(1)
		a.failed(ctx, err)
	})
}

// both does something at both listeners, in so many goroutines each.
func (a *assault) both(ctx context.Context, each int, do func(address string)) {
	at := a.listeners()
	atOnce(ctx, each*len(at), func(i int) { do(at[i%len(at)]) })
}

func metadata(ctx context.Context, a *assault) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range append(callFields(CallMethod), hpack.HeaderField{Name: "x-much", Value: strings.Repeat("~", 16<<20)}) {
		_ = encoder.WriteField(f) // a buffer takes it
	}
	const size = 16_000
	a.both(ctx, 1, func(address string) {
		a.frames(ctx, address, func(f *Frames) error {
			rest := block.Bytes()
			err := f.WriteRawFrame(http2.FrameHeaders, 0, 1, rest[:size])
			for rest = rest[size:]; err == nil && len(rest) > 0; rest = rest[min(size, len(rest)):] {
				err = f.WriteContinuation(1, len(rest) <= size, rest[:min(size, len(rest))])
			}
			a.did.Add(1)
			if err == nil {
				err = f.await(ctx)
			}
			return err
		})
	})
}

func streams(ctx context.Context, a *assault) {
	a.both(ctx, 1, func(address string) {
		a.frames(ctx, address, func(f *Frames) error {
			for range 10_000 {
				if _, err := f.Call(CallMethod, http2.FlagHeadersEndHeaders); err != nil {
					return err
				}
				a.did.Add(1)
			}
			return f.await(ctx)
		})
	})
}

func slow(ctx context.Context, a *assault) {
	a.both(ctx, 10, func(address string) {
		a.frames(ctx, address, func(f *Frames) error {
			var calls []uint32
			for range 20 {
				id, err := f.Call(CallMethod, http2.FlagHeadersEndHeaders)
				if err != nil {
					return err
				}
				calls = append(calls, id)
				a.did.Add(1)
			}
			return f.drip(ctx, calls, Message(1<<20, 1000))
		})
	})
}

// drip sends the same on several calls, a byte at a time, until the node has ended them.
func (f *Frames) drip(ctx context.Context, calls []uint32, body []byte) error {
	var err error
	for i := 0; err == nil && i < len(body) && ctx.Err() == nil && len(f.Status) < len(calls); i++ {
		for _, id := range calls {
			if err == nil {
				err = f.WriteData(id, false, body[i:i+1])
			}
		}
		rest(ctx, evilBeat)
	}
	return err //nolint:wrapcheck // the connection's
}

// flood sends frames of a kind for as long as the node takes them.
func (a *assault) flood(ctx context.Context, send func(f *Frames) error) {
	a.both(ctx, 1, func(address string) {
		a.frames(ctx, address, func(f *Frames) error {
			for {
				if err := send(f); err != nil {
					return err
				}
				a.did.Add(1)
			}
		})
	})
}

func resets(ctx context.Context, a *assault)        { a.flood(ctx, FrameFloods()["resets"]) }
func continuations(ctx context.Context, a *assault) { a.flood(ctx, FrameFloods()["continuations"]) }

func floods(ctx context.Context, a *assault) {
	var all sync.WaitGroup
	for name, send := range FrameFloods() {
		if name != "resets" && name != "continuations" {
			all.Go(func() { a.flood(ctx, send) })
		}
	}
	all.Wait()
}

// heldEach is how many connections are held open at a listener.
const heldEach = 1500

func halfOpen(ctx context.Context, a *assault) {
	a.hold(ctx, "", http2.ClientPreface[:10], http2.ClientPreface)
}

func idle(ctx context.Context, a *assault) {
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" // a frame that changes none
	a.hold(ctx, http2.ClientPreface+settings, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

// hold makes connections, says one of the texts on each, and keeps them until the node closes them.
func (a *assault) hold(ctx context.Context, texts ...string) {
	var all sync.WaitGroup
	defer all.Wait()
	at := a.listeners()
	places := make(chan struct{}, heldEach*len(at))
	n := 0
	often(ctx, 1000, func() {
		select {
		case places <- struct{}{}:
		default:
			return
		}
		n++
		conn, closed, err := dial(ctx, at[n%len(at)])
		if err == nil {
			_, err = io.WriteString(conn, texts[n/len(at)%len(texts)])
		}
		if err != nil {
			a.refuse("closed")
			<-places
			return
		}
		a.did.Add(1)
		all.Go(func() {
			defer closed()
			_, _ = io.Copy(io.Discard, conn)
			if ctx.Err() == nil {
				a.refuse("closed")
			}
			<-places
		})
	})
}

func connects(ctx context.Context, a *assault) {
	at := a.listeners()
	n := 0
	often(ctx, 1000, func() {
		n++
		conn, closed, err := dial(ctx, at[n%len(at)])
		if err != nil {
			return
		}
		defer closed()
		if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
			a.refuse("closed")
			return
		}
		a.did.Add(1)
	})
}

func unread(ctx context.Context, a *assault) {
	long := &orderv1.SubmitStreamRequest{Submissions: []*orderv1.SubmitRequest{
		{Order: &orderv1.WorkOrder{Id: strings.Repeat("x", 1<<20), Definition: "evil/big:1.0.0"}},
	}}
	short := &orderv1.SubmitStreamRequest{}
	for range 5000 {
		short.Submissions = append(short.Submissions, &orderv1.SubmitRequest{Order: &orderv1.WorkOrder{Id: "é"}})
	}
	atOnce(ctx, 4, func(i int) {
		st, err := a.conn.Orders().SubmitStream(ctx)
		for err == nil {
			if err = st.Send([]*orderv1.SubmitStreamRequest{long, short}[i%2]); err == nil {
				a.did.Add(1)
			}
		}
		if st != nil && errors.Is(err, io.EOF) {
			for err = nil; err == nil; {
				_, err = st.Recv()
			}
		}
		a.failed(ctx, err)
	})
}

func definitions(ctx context.Context, a *assault) {
	filler := strings.Repeat("x", 1_000_000-200)
	for ctx.Err() == nil {
		name := fmt.Sprintf("d%x", a.chance.Uint64())
		document := fmt.Sprintf("document: {dsl: '1.0.3', namespace: evil, name: %s, version: '1.0.0'}\ndo: [{a: {set: {x: %s}}}]\n",
			name, filler)
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := a.conn.Definitions().Deploy(ctx, &definitionv1.DeployRequest{Document: []byte(document)})
		a.did.Add(1)
		a.failed(ctx, err)
		cancel()
	}
}
