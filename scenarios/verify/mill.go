package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/load"
)

// mill keeps a number of orders in flight for a time: the last answer to one submits the next.
type mill struct {
	definition string
	input      []byte
	want       orderv1.Status // with which they must end
	window     int

	mu     sync.Mutex
	stream *load.Stream
	over   bool
	open   int
	ended  int // before over
	err    error
}

// run runs orders for so long, waits for the last answers, and returns how many had ended in that time, per second.
func (m *mill) run(ctx context.Context, conn *grpc.ClientConn, d time.Duration) (rate float64, err error) {
	stream, err := load.OpenStream(ctx, orderv1.NewOrderServiceClient(conn), m.answers)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	m.mu.Lock()
	m.stream = stream
	for range m.window {
		m.submit()
	}
	m.mu.Unlock()
	ended := make(chan error, 1)
	go func() { ended <- stream.Wait() }()
	select {
	case err := <-ended:
		return 0, fmt.Errorf("the stream ended early: %w", err)
	case <-time.After(d):
	}
	m.mu.Lock()
	m.over = true
	rate = float64(m.ended) / time.Since(began).Seconds()
	m.mu.Unlock()
	if err := <-ended; err != nil {
		return rate, err
	}
	return rate, m.err
}

func (m *mill) submit() {
	m.open++
	m.stream.Submit(&orderv1.SubmitRequest{
		Order: &orderv1.WorkOrder{Id: string(messages.NewOrderID()), Definition: m.definition, Input: m.input},
		Wait:  orderv1.Wait_WAIT_ENDED,
	})
}

func (m *mill) answers(answers []*orderv1.Submission) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range answers {
		switch answer := a.GetAnswer().(type) {
		case *orderv1.Submission_Accepted:
			continue
		case *orderv1.Submission_Refused:
			m.err = fmt.Errorf("order %s was refused: %v: %s", a.GetId(), codes.Code(answer.Refused.GetCode()), //nolint:gosec // a code
				answer.Refused.GetMessage())
		case *orderv1.Submission_Ended:
			if got := answer.Ended.GetStatus(); got != m.want {
				m.err = fmt.Errorf("order %s ended as %v: %v", a.GetId(), got, answer.Ended.GetError())
			}
		}
		m.open--
		if !m.over {
			m.ended++
			m.submit()
		}
	}
	if m.open == 0 {
		m.stream.Close()
	}
}
