package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const (
	// maxUnsentAnswers is about how many bytes of answers may wait to be sent on a stream of submissions. At the bound the stream is not
	// read, and of the ends of orders that come still the outputs are not kept: they are read again when it is their turn.
	maxUnsentAnswers = 256 << 10
	// readAgain is when to try again to read an output while the journal does not answer.
	readAgain = 200 * time.Millisecond
)

// submissionAnswer is an answer that is to be sent on a stream of submissions.
type submissionAnswer struct {
	*orderv1.Submission

	// last: the submission gets no other one, and leaves the window when this one is sent.
	last bool
	// unread: it is the end of an order whose output is to be read.
	unread bool
	size   int
}

// put has an answer sent.
func (s *submitStream) put(a *orderv1.Submission, last bool) {
	x := submissionAnswer{Submission: a, last: last}
	if e := a.GetEnded(); len(e.GetOutput()) > 0 && s.answers.full() {
		x.Submission, x.unread = &orderv1.Submission{Id: a.GetId(), Answer: &orderv1.Submission_Ended{Ended: &orderv1.Ended{
			Status: e.GetStatus(), Error: e.GetError(),
		}}}, true
	}
	x.size = answerSize(x.Submission)
	s.answers.add(x.size + partBytes)
	s.out.put(x)
}

// write sends answers until the collector is closed and empty.
func (s *submitStream) write(ctx context.Context, st submitConn) error {
	for {
		select {
		case <-s.out.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
		for {
			answers, more := s.out.take()
			if len(answers) == 0 {
				if !more {
					return nil
				}
				break
			}
			if err := s.flush(ctx, st, answers); err != nil {
				return err
			}
		}
	}
}

// flush sends answers, in their order.
func (s *submitStream) flush(ctx context.Context, st submitConn, answers []submissionAnswer) error {
	for len(answers) > 0 {
		n := frameOf(answers, func(a submissionAnswer) int { return a.size })
		m := &orderv1.SubmitStreamResponse{Submissions: make([]*orderv1.Submission, 0, n)}
		for i, a := range answers[:n] {
			if a.unread { // it goes alone, under a claim
				n = max(i, 1)
				break
			}
			m.Submissions = append(m.Submissions, a.Submission)
		}
		var err error
		if len(m.GetSubmissions()) > 0 {
			err = st.Send(m)
		} else {
			err = s.sendRead(ctx, st, answers[0].Submission)
		}
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		for _, a := range answers[:n] {
			s.answers.add(-a.size - partBytes)
			if a.last {
				<-s.window
			}
		}
		clear(answers[:n])
		answers = answers[n:]
	}
	return nil
}

// sendRead sends the end of an order whose output was not kept.
func (s *submitStream) sendRead(ctx context.Context, st submitConn, a *orderv1.Submission) error {
	c, err := s.unsent.take(ctx)
	if err != nil {
		return err
	}
	for {
		order, err := s.stands(ctx, a.GetId())
		if err == nil {
			a.GetEnded().Output = order.GetOutput()
			return send(st, &orderv1.SubmitStreamResponse{Submissions: []*orderv1.Submission{a}}, c)
		}
		if f := s.explain(err); f.retry == 0 {
			c.give()
			return err
		}
		select {
		case <-time.After(readAgain):
		case <-ctx.Done():
			c.give()
			return ctx.Err()
		}
	}
}

// answerSize is about the size of an answer, encoded.
func answerSize(a *orderv1.Submission) int {
	e := a.GetEnded()
	return len(a.GetId()) + len(e.GetOutput()) + len(e.GetError().GetDetail()) + len(a.GetRefused().GetMessage()) +
		len(a.GetAccepted().GetDefinition()) + 32
}
