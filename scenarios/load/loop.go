package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// loop keeps a number of orders in flight on one stream: the last answer to one submits the next.
type loop struct {
	script *script
	ids    ids
	tally  *tally
	stream *client.Stream

	slots  []slot // one for each order in flight
	number uint64 // of orders submitted
	open   int    // slots in use
	next   []*orderv1.SubmitRequest
}

// slot is one of the orders in flight. Its request is used again and again: it was sent before it can be answered.
type slot struct {
	submitted time.Time
	request   *orderv1.SubmitRequest
	number    uint64
}

// byStream runs orders until the tally's end, and waits for the last answers.
func byStream(ctx context.Context, conn *client.Client, s *script, t *tally, inFlight int) error {
	l := &loop{script: s, ids: newIDs(time.Now()), tally: t, slots: make([]slot, inFlight), open: inFlight}
	var first sync.Mutex // answers wait until all slots are filled
	first.Lock()
	stream, err := conn.OpenStream(ctx, func(answers []*orderv1.Submission) {
		first.Lock()
		defer first.Unlock()
		l.answers(answers)
	}, grpc.WaitForReady(true))
	if err != nil {
		first.Unlock()
		return err
	}
	l.stream = stream
	now := time.Now()
	for i := range l.slots {
		l.slots[i].request = s.request("")
		l.submit(i, now)
	}
	stream.Submit(l.next...)
	first.Unlock()
	return stream.Wait()
}

func (l *loop) submit(i int, now time.Time) {
	s := &l.slots[i]
	s.number, s.submitted = l.number, now
	s.request.Order.Id = l.ids.id(l.number, i)
	l.number++
	l.next = append(l.next, s.request)
}

func (l *loop) answers(answers []*orderv1.Submission) {
	now := time.Now()
	l.next = l.next[:0]
	for _, a := range answers {
		number, i, ok := l.ids.parse(a.GetId())
		if !ok || i >= len(l.slots) || l.slots[i].number != number {
			l.tally.fail(fmt.Errorf("an answer came to %q, which is not under way", a.GetId()))
			continue
		}
		last, err := l.script.last(a)
		switch {
		case !last:
			continue
		case err != nil:
			l.tally.fail(err)
		default:
			l.tally.done(l.slots[i].submitted, now)
		}
		if now.Before(l.tally.end) {
			l.submit(i, now)
			continue
		}
		l.slots[i].number = ^uint64(0)
		l.open--
	}
	l.stream.Submit(l.next...)
	if l.open == 0 {
		l.stream.Close()
	}
}

// last tells whether an answer is the last to its order, and what is wrong with it.
func (s *script) last(a *orderv1.Submission) (bool, error) {
	switch answer := a.GetAnswer().(type) {
	case *orderv1.Submission_Accepted:
		return s.wait != orderv1.Wait_WAIT_ENDED, nil
	case *orderv1.Submission_Ended:
		e := answer.Ended
		return true, s.judge(a.GetId(), e.GetStatus(), e.GetOutput(), e.GetError())
	case *orderv1.Submission_Refused:
		r := answer.Refused
		return true, fmt.Errorf("order %s was refused: %v: %s", a.GetId(), codes.Code(r.GetCode()), r.GetMessage()) //nolint:gosec // a code
	}
	return true, fmt.Errorf("order %s got an answer of an unknown kind", a.GetId())
}

// unaryConns is over how many connections calls are spread.
const unaryConns = 4

// byCalls runs orders until the tally's end, each by a call of its own.
func byCalls(ctx context.Context, conns []*client.Client, s *script, t *tally, inFlight int) error {
	scheme := newIDs(time.Now())
	var all sync.WaitGroup
	for i := range inFlight {
		client := conns[i%len(conns)].Orders()
		all.Go(func() {
			for number := uint64(0); ctx.Err() == nil; number++ {
				submitted := time.Now()
				if !submitted.Before(t.end) {
					return
				}
				r := s.request(scheme.id(number, i))
				answer, err := client.Submit(ctx, r)
				now := time.Now()
				if err == nil && s.wait == orderv1.Wait_WAIT_ENDED {
					o := answer.GetOrder()
					err = s.judge(r.Order.GetId(), o.GetStatus(), o.GetOutput(), o.GetError())
				}
				if err != nil {
					t.fail(fmt.Errorf("order %s: %w", r.Order.GetId(), err))
					continue
				}
				t.done(submitted, now)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}
