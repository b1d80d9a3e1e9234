package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// What a submission from a file holds in memory at most, beside one line, and what it sends at once.
const (
	mostUnanswered      = 2000
	mostUnansweredBytes = 32 << 20
	frameOrders         = 200
	frameBytes          = 256 << 10
)

// bulk is the submission of the orders of a file. Each line is an order with an id, so that submitting the file again changes
// nothing about those that were accepted. A line that can't be an order, or that is refused, is told, and the others go on.
// A node that is gone or busy is asked again.
type bulk struct {
	a     *app
	c     *api
	name  string            // of the file
	lines <-chan []fileLine // nil: all were read
	show  *bulkProgress

	queue []*unanswered // was read, and has no place among the unanswered yet; no more than a chunk
	// unanswered are the orders that have no answer yet, by id. bytes is what they take; waiting is how many of them wait
	// to be sent again.
	unanswered map[string]*unanswered
	bytes      int
	waiting    int
	// keys are the unanswered orders by order key, in the order of their lines. Only the first of a key is sent, so that no
	// line overtakes another one that the node had no room for: orders of a key run in the order of their acceptance.
	keys map[string][]*unanswered
	// next are those that have become the first of their key, and are to be sent.
	next     []*unanswered
	counts   bulkJSON
	refusing string // why the node has no room, as it was told last
	failed   error  // why no more lines can be read
}

// unanswered is an order that was sent, or is to be sent.
type unanswered struct {
	line  int
	order *orderv1.WorkOrder
	size  int
	// due is when it is sent again, after the node had no room for it; zero: it was sent.
	due time.Time
}

// bulkJSON is how many lines there were, and what came of them.
type bulkJSON struct {
	Lines    int `json:"lines"`
	Accepted int `json:"accepted"`
	// Repeated: they were accepted before.
	Repeated int `json:"repeated"`
	Refused  int `json:"refused"`
}

// refusedJSON is a line that is no order, or whose order was refused.
type refusedJSON struct {
	Line    int    `json:"line"`
	ID      string `json:"id"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// submitFrom submits the orders of a file, or of the standard input for -. What a line does not say is as in base.
func (a *app) submitFrom(ctx context.Context, name string, base *orderv1.WorkOrder, quiet bool) error {
	c, err := a.dial()
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := a.boundWait(ctx)
	defer cancel()
	in, size, err := a.openLines(ctx, name)
	if err != nil {
		return err
	}
	lines, ended := readLines(ctx, in, base)
	defer func() {
		cancel()
		_ = in.Close()   // it was only read; who still waits for what comes out of a pipe is woken
		if name != "-" { // a standard input isn't closed, and may say nothing for ever
			<-ended
		}
	}()
	b := &bulk{
		a: a, c: c, name: name, lines: lines, unanswered: map[string]*unanswered{}, keys: map[string][]*unanswered{},
		show: a.newBulkProgress(size, quiet),
	}
	err = b.run(ctx)
	b.show.end()
	return b.result(err)
}

// result prints what came of the file.
func (b *bulk) result(err error) error {
	n := b.counts
	if b.a.output == outputJSON {
		if e := b.a.printJSON(n); e != nil {
			return errors.Join(err, e)
		}
	} else if _, e := fmt.Fprintf(b.a.stdout, "%d lines: %d accepted, %d accepted before, %d refused\n",
		n.Lines, n.Accepted, n.Repeated, n.Refused); e != nil {
		return errors.Join(err, fmt.Errorf("write answer: %w", e))
	}
	switch {
	case err != nil:
		return advise(err, "Submit the file again, which does no harm: what was accepted is not done twice.")
	case n.Refused > 0:
		return fmt.Errorf("%d of %d lines were refused", n.Refused, n.Lines)
	default:
		return nil
	}
}

// run submits until all lines have their last answer. When its node is gone it goes on with another one.
func (b *bulk) run(ctx context.Context) error {
	p := patience{
		most: b.a.client.reconnect, tell: func(err error) { b.show.pause(); b.a.tellRetry(err) },
		what: "not all orders were submitted", timeout: b.a.client.timeout,
	}
	for {
		before := b.counts
		err := b.stream(ctx)
		if err == nil || errors.Is(err, errLines) {
			return err
		}
		if b.counts.answered() > before.answered() {
			p.failures = 0
		}
		if err = p.after(ctx, err); err != nil {
			return err
		}
	}
}

func (n bulkJSON) answered() int { return n.Accepted + n.Repeated + n.Refused }

// stream submits until all lines have their last answer, or the stream breaks.
func (b *bulk) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	st, err := b.c.orders.SubmitStream(ctx)
	if err != nil {
		return err
	}
	// There is room for an answer to each order that was sent, so that sending never waits for answers to be taken.
	r := &receiver{answers: make(chan *orderv1.Submission, mostUnanswered), ended: make(chan struct{})}
	go r.receive(ctx, st)
	err = b.exchange(ctx, st, r)
	cancel()
	<-r.ended
	return err
}

type submitStream = grpc.BidiStreamingClient[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]

// receiver takes the answers of a stream.
type receiver struct {
	answers chan *orderv1.Submission
	err     error // why the stream has ended, once that is so
	ended   chan struct{}
}

// receive takes answers until the stream ends.
func (r *receiver) receive(ctx context.Context, st submitStream) {
	defer close(r.ended)
	for {
		m, err := st.Recv()
		if r.err = err; err != nil {
			return
		}
		for _, s := range m.GetSubmissions() {
			select {
			case r.answers <- s:
			case <-ctx.Done():
				r.err = ctx.Err()
				return
			}
		}
	}
}

// broken returns why the stream has ended, once that is so.
func (r *receiver) broken() error {
	if errors.Is(r.err, io.EOF) {
		return status.Error(codes.Unavailable, "the node ended the stream before all orders were answered")
	}
	return r.err
}

// exchange sends lines and takes answers.
func (b *bulk) exchange(ctx context.Context, st submitStream, r *receiver) error {
	var sent []*orderv1.SubmitRequest
	b.waiting, b.next = 0, nil
	for _, u := range b.inOrder() { // what the stream before has not answered
		u.due = time.Time{}
		if b.first(u) {
			sent = append(sent, u.request())
		}
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		sent = append(sent, b.admit()...)
		if err := send(st, sent); err != nil {
			return b.leave(r)
		}
		sent = nil
		if b.lines == nil && len(b.queue) == 0 && len(b.unanswered) == 0 {
			return b.failed
		}
		lines := b.lines
		if len(b.queue) > 0 {
			lines = nil // until there is room for those that were read
		}
		select {
		case chunk, more := <-lines:
			if !more {
				b.lines = nil
				continue
			}
			if err := b.read(chunk); err != nil {
				return err
			}
		case s := <-r.answers:
			if err := b.answer(s); err != nil {
				return err
			}
		case <-r.ended:
			return b.leave(r)
		case now := <-tick.C:
			b.show.draw(b.counts)
			sent = b.again(now)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// leave takes what a stream that has ended has answered, and returns why it has.
func (b *bulk) leave(r *receiver) error {
	<-r.ended
	for len(r.answers) > 0 {
		if err := b.answer(<-r.answers); err != nil {
			return err
		}
	}
	return r.broken()
}

// send sends submissions in frames of a bounded size.
func send(st submitStream, all []*orderv1.SubmitRequest) error {
	for len(all) > 0 {
		n, size := 0, 0
		for n < len(all) && n < frameOrders && (n == 0 || size+proto.Size(all[n]) <= frameBytes) {
			size += proto.Size(all[n])
			n++
		}
		if err := st.Send(&orderv1.SubmitStreamRequest{Submissions: all[:n]}); err != nil {
			return err //nolint:wrapcheck // the receiver knows why
		}
		all = all[n:]
	}
	return nil
}

// read takes lines: those that are orders are queued, others are refused.
func (b *bulk) read(chunk []fileLine) error {
	for _, l := range chunk {
		if errors.Is(l.err, errLines) {
			b.failed = l.err // what was read before is still submitted
			continue
		}
		b.counts.Lines++
		b.show.offset = l.offset
		if l.err != nil {
			if err := b.refuse(l.number, l.order.GetId(), "BAD_LINE", l.err.Error()); err != nil {
				return err
			}
			continue
		}
		b.queue = append(b.queue, &unanswered{line: l.number, order: l.order, size: proto.Size(l.order)})
	}
	return nil
}

// admit takes orders from the queue for which there is room, and returns what is to be sent. One whose id another line has
// waits until that is answered: answers name ids.
func (b *bulk) admit() (out []*orderv1.SubmitRequest) {
	for _, u := range b.next {
		out = append(out, u.request())
	}
	b.next = nil
	for len(b.queue) > 0 && len(b.unanswered) < mostUnanswered && (b.bytes == 0 || b.bytes+b.queue[0].size <= mostUnansweredBytes) {
		u := b.queue[0]
		if b.unanswered[u.order.GetId()] != nil {
			break
		}
		b.queue = b.queue[1:]
		b.unanswered[u.order.GetId()] = u
		b.bytes += u.size
		if key := u.order.GetOrderKey(); key != "" {
			b.keys[key] = append(b.keys[key], u)
		}
		if b.first(u) {
			out = append(out, u.request())
		}
	}
	return out
}

// first tells whether no order of the same key is unanswered before this one.
func (b *bulk) first(u *unanswered) bool {
	key := u.order.GetOrderKey()
	return key == "" || b.keys[key][0] == u
}

// settle removes an order that has its last answer. The next one of its key has its turn.
func (b *bulk) settle(u *unanswered) {
	delete(b.unanswered, u.order.GetId())
	b.bytes -= u.size
	key := u.order.GetOrderKey()
	switch behind := b.keys[key]; len(behind) {
	case 0: // it has no key
	case 1:
		delete(b.keys, key)
	default:
		behind[0] = nil
		b.keys[key] = behind[1:]
		b.next = append(b.next, behind[1])
	}
}

// inOrder returns what has no answer, in the order of its lines.
func (b *bulk) inOrder() []*unanswered {
	return slices.SortedFunc(maps.Values(b.unanswered), func(x, y *unanswered) int { return x.line - y.line })
}

// again returns what is to be sent again by now, because the node had no room for it.
func (b *bulk) again(now time.Time) (out []*orderv1.SubmitRequest) {
	if b.waiting == 0 {
		return nil
	}
	for _, u := range b.inOrder() {
		if !u.due.IsZero() && !u.due.After(now) {
			u.due = time.Time{}
			b.waiting--
			out = append(out, u.request())
		}
	}
	return out
}

// answer takes an answer.
func (b *bulk) answer(s *orderv1.Submission) error {
	u := b.unanswered[s.GetId()]
	if u == nil {
		return nil // an answer to a try before
	}
	r := s.GetRefused()
	if r != nil && (r.GetRetryAfter() != nil || codes.Code(r.GetCode()) == codes.Unavailable) { //nolint:gosec // a code is small
		if u.due.IsZero() {
			b.waiting++
		}
		u.due = time.Now().Add(max(min(r.GetRetryAfter().AsDuration(), time.Minute), retryBackoff.Initial))
		if b.refusing != r.GetReason() {
			b.refusing = r.GetReason()
			b.show.say("holdfast: " + clean(r.GetMessage()) + " (" + clean(r.GetReason()) + "): trying again")
		}
		return nil
	}
	b.settle(u)
	switch {
	case r != nil:
		return b.refuse(u.line, s.GetId(), r.GetReason(), r.GetMessage())
	case s.GetAccepted().GetRepeated():
		b.counts.Repeated++
	default:
		b.counts.Accepted++
	}
	return nil
}

// refuse tells of a line that nothing has become of.
func (b *bulk) refuse(line int, id, reason, message string) error {
	b.counts.Refused++
	b.show.pause()
	if b.a.output == outputJSON {
		return b.a.printJSON(refusedJSON{Line: line, ID: id, Reason: reason, Message: message})
	}
	fmt.Fprintln(b.a.stderr, clean(fmt.Sprintf("%s:%d: %s", b.name, line, message)))
	return nil
}

// request is what is sent for an order.
func (u *unanswered) request() *orderv1.SubmitRequest {
	return &orderv1.SubmitRequest{Order: u.order, Wait: orderv1.Wait_WAIT_ACCEPTED}
}
