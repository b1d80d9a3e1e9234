package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// bulk is the submission of the orders of a file. Each line is an order with an id, so that submitting the file again changes
// nothing about those that were accepted. A line that can't be an order, or that is refused, is told, and the others go on.
// A node that is gone or busy is asked again.
type bulk struct {
	a    *app
	name string // of the file

	mu       sync.Mutex // lines are read while answers come
	show     *bulkProgress
	counts   bulkJSON
	refusing string // why the node has no room, as it was told last

	stop context.CancelCauseFunc // ends the submission, for a reason
}

// bulkJSON is how many lines there were, and what came of them.
type bulkJSON struct {
	Lines    int `json:"lines"`
	Accepted int `json:"accepted"`
	// Repeated: they were accepted before.
	Repeated int `json:"repeated"`
	Refused  int `json:"refused"`
}

func (n bulkJSON) answered() int { return n.Accepted + n.Repeated + n.Refused }

// refusedJSON is a line that is no order, or whose order was refused.
type refusedJSON struct {
	Line    int    `json:"line"`
	ID      string `json:"id"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// notAllSubmitted is what has come about when the time of a submission is over.
const notAllSubmitted = "not all orders were submitted"

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
		return a.outcome(ctx, err, notAllSubmitted, a.client.timeout)
	}
	lines, ended := readLines(ctx, in, base)
	defer func() {
		cancel()
		_ = in.Close()   // it was only read; who still waits for what comes out of a pipe is woken
		if name != "-" { // a standard input isn't closed, and may say nothing for ever
			<-ended
		}
	}()
	b := &bulk{a: a, name: name, show: a.newBulkProgress(size, quiet)}
	err = b.run(ctx, c, lines)
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

// run submits until all lines have their last answer, and shows how far it is.
func (b *bulk) run(ctx context.Context, c *api, lines <-chan []fileLine) error {
	submitting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	b.stop = stop
	s := c.NewSubmitter(submitting, client.Submitting{
		Patience: b.a.patience(func(err error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.show.pause()
			b.a.tellRetry(err)
		}),
		Busy: b.busy,
	})
	ended := make(chan error, 1)
	go func() {
		left := b.feed(submitting, s, lines)
		err := s.Close() // what was read before is still submitted
		switch {
		case submitting.Err() != nil && ctx.Err() == nil:
			err = context.Cause(submitting)
		case err == nil && errors.Is(left, errLines):
			err = left
		default:
			err = b.a.outcome(ctx, cmp.Or(err, left), notAllSubmitted, b.a.client.timeout)
		}
		ended <- err
	}()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			b.mu.Lock()
			b.show.draw(b.counts)
			b.mu.Unlock()
		}
	}
}

// feed submits the orders that are read, until there are no more. It returns an error if no more can be submitted.
func (b *bulk) feed(ctx context.Context, s *client.Submitter, lines <-chan []fileLine) error {
	for {
		select {
		case chunk, more := <-lines:
			if !more {
				return nil
			}
			for _, l := range chunk {
				if errors.Is(l.err, errLines) {
					return l.err
				}
				b.read(l)
				if l.err != nil {
					continue
				}
				request := &orderv1.SubmitRequest{Order: l.order, Wait: orderv1.Wait_WAIT_ACCEPTED}
				if err := s.Submit(ctx, request, func(answer client.Answer) { b.answer(l.number, answer) }); err != nil {
					return err
				}
			}
		case <-s.Ended():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// read counts a line, and tells what is wrong with one that is no order.
func (b *bulk) read(l fileLine) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.Lines++
	b.show.offset = l.offset
	if l.err != nil {
		b.refuse(l.number, l.order.GetId(), "BAD_LINE", l.err.Error())
	}
}

// busy tells that a node has no room for an order.
func (b *bulk) busy(r *orderv1.Refused) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refusing != r.GetReason() {
		b.refusing = r.GetReason()
		b.show.say("holdfast: " + clean(r.GetMessage()) + " (" + clean(r.GetReason()) + "): trying again")
	}
}

// answer takes the last answer to the order of a line.
func (b *bulk) answer(line int, answer client.Answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch r := answer.Submission.GetRefused(); {
	case answer.Err != nil: // the submission ends with this error
	case r != nil:
		b.refuse(line, answer.Submission.GetId(), r.GetReason(), r.GetMessage())
	case answer.Submission.GetAccepted().GetRepeated():
		b.counts.Repeated++
	default:
		b.counts.Accepted++
	}
}

// refuse tells of a line whose order was not accepted. If that can't be printed, it stops the submission. The caller holds the lock.
func (b *bulk) refuse(line int, id, reason, message string) {
	b.counts.Refused++
	b.show.pause()
	if b.a.output == outputJSON {
		if err := b.a.printJSON(refusedJSON{Line: line, ID: id, Reason: reason, Message: message}); err != nil {
			b.stop(err)
		}
		return
	}
	fmt.Fprintln(b.a.stderr, clean(fmt.Sprintf("%s:%d: %s", b.name, line, message)))
}
