package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// broken is a journal whose commits and reads fail as a test says.
type broken struct {
	persistence.Journal

	err *error
}

func (b broken) Commit(c *persistence.Commit) {
	if *b.err != nil {
		go c.Done(*b.err)
		return
	}
	b.Journal.Commit(c)
}

// Each error of the engine is told by its code and reason; what is not expected is not told, but logged.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, row := range gateway.ErrorTable() {
		t.Run(row.Reason+" "+row.Err.Error(), func(t *testing.T) {
			t.Parallel()
			err := gateway.Explain(fmt.Errorf("do this: %w", row.Err))
			wantRefusal(t, err, row.Code, row.Reason)
			if !strings.Contains(err.Error(), row.Err.Error()) {
				t.Errorf("told as %v", err)
			}
		})
	}
	err := gateway.Explain(errors.New("secret"))
	wantRefusal(t, err, codes.Internal, "INTERNAL")
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("told as %v", err)
	}
}

func TestJournalErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var failure error
		n := start(t, func(s *settings) {
			s.wrap = func(j persistence.Journal) persistence.Journal { return broken{Journal: j, err: &failure} }
		})
		def := n.deploy("set", "1.0.0", nothing)
		for i, tt := range []struct {
			err    error
			code   codes.Code
			reason string
		}{
			{persistence.ErrFull, codes.ResourceExhausted, "STORE_FULL"},
			{persistence.ErrBusy, codes.ResourceExhausted, "BUSY"},
			{persistence.ErrUnknown, codes.Unavailable, "JOURNAL_UNAVAILABLE"},
			{persistence.ErrClosed, codes.Unavailable, "JOURNAL_UNAVAILABLE"},
			{persistence.ErrFenced, codes.Unavailable, "NOT_OWNER"},
			{errors.New("secret"), codes.Internal, "INTERNAL"},
		} {
			failure = tt.err
			o := &orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def}
			_, err := n.orders.Submit(t.Context(), &orderv1.SubmitRequest{Order: o})
			wantRefusal(t, err, tt.code, tt.reason)
			failure = nil
			n.submit(o, ended)
		}
	})
}

// A node that has too many orders to make durable says so at once.
func TestTooManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		n := start(t, func(s *settings) {
			s.gateway.Accepting = 4
			s.wrap = func(j persistence.Journal) persistence.Journal { return slow{j, release} }
		})
		def := n.deploy("set", "1.0.0", nothing)
		answers := make(chan error, 10)
		submit := func(i int, priority int32) {
			_, err := n.orders.Submit(t.Context(), &orderv1.SubmitRequest{
				Order: &orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def, Priority: priority},
			})
			answers <- err
		}
		flood := func(from int, priority int32, most string, refused int) {
			t.Helper()
			for i := range 10 {
				go submit(from+i, priority)
			}
			settle()
			if len(answers) != refused {
				t.Errorf("%d of priority %d were answered at once, want %d", len(answers), priority, refused)
			}
			for range len(answers) {
				err := <-answers
				wantRefusal(t, err, codes.ResourceExhausted, "BUSY")
				if !strings.Contains(err.Error(), most) {
					t.Errorf("%q doesn't name the limit: %s", err, most)
				}
			}
		}
		flood(0, messages.Interactive-1, "3 orders wait", 7)
		flood(10, messages.Interactive, "4 orders wait", 9)
		close(release)
		for range 4 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		submit(99, 0)
		if err := <-answers; err != nil {
			t.Error(err)
		}
	})
}

// slow is a journal that holds commits back.
type slow struct {
	persistence.Journal

	release chan struct{}
}

func (s slow) Commit(c *persistence.Commit) {
	go func() {
		<-s.release
		s.Journal.Commit(c)
	}()
}

// panicking is a journal that can't look for one order.
type panicking struct{ persistence.Journal }

func (p panicking) Find(ctx context.Context, id messages.OrderID) (persistence.Entry, error) {
	if id == "panic" {
		panic("injected")
	}
	return p.Journal.Find(ctx, id)
}

// A panic in a call is that call's affair.
func TestPanicInACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		n := start(t, func(s *settings) {
			s.log = &log
			s.wrap = func(j persistence.Journal) persistence.Journal { return panicking{j} }
		})
		_, err := n.orders.Get(t.Context(), &orderv1.GetRequest{Id: "panic"})
		wantRefusal(t, err, codes.Internal, "INTERNAL")
		w, err := n.orders.Watch(t.Context(), &orderv1.WatchRequest{Id: "panic"})
		if err == nil {
			_, err = w.Recv()
		}
		wantRefusal(t, err, codes.Internal, "INTERNAL")
		if !strings.Contains(log.String(), "injected") {
			t.Error("the log does not say why")
		}
		_, err = n.orders.Get(t.Context(), &orderv1.GetRequest{Id: "other"})
		wantRefusal(t, err, codes.NotFound, "NO_SUCH_ORDER")
	})
}
