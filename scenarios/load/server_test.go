package load

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers submissions by rules of a test. It is not an engine: only what the driver makes of answers is tested.
type server struct {
	orderv1.UnimplementedOrderServiceServer

	// end says what becomes of the nth order, from 0; nil: it completes with its input as output.
	end func(n int, o *orderv1.WorkOrder) *orderv1.Submission
	// silent orders are never answered.
	silent func(n int) bool
	// takes is how long an answer takes.
	takes time.Duration
	// owners is what WatchOwners tells; nil: it is not known here.
	owners *orderv1.WatchOwnersResponse
	// history is what History answers.
	history func(id string) []*orderv1.HistoryEvent

	mu          sync.Mutex
	seen        map[string]int // by id, its number
	frames      int
	most, under int // orders of streams that had no last answer
}

// serve serves, at the address that the client is given, and others at theirs.
func serve(t *testing.T, s *server, others ...map[string]*server) *client.Client {
	t.Helper()
	listeners := map[string]*bufconn.Listener{}
	begin := func(address string, s *server) {
		s.seen = map[string]int{}
		l, g, served := bufconn.Listen(1<<20), grpc.NewServer(), make(chan error, 1)
		listeners[address] = l
		orderv1.RegisterOrderServiceServer(g, s)
		go func() { served <- g.Serve(l) }()
		t.Cleanup(func() {
			g.Stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
	begin("server:7460", s)
	for _, all := range others {
		for address, other := range all {
			begin(address, other)
		}
	}
	conn, err := client.New(client.Config{Addresses: []string{"server"}, DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return listeners[address].DialContext(ctx)
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// WatchOwners implements orderv1.OrderServiceServer.
func (s *server) WatchOwners(_ *orderv1.WatchOwnersRequest, st grpc.ServerStreamingServer[orderv1.WatchOwnersResponse]) error {
	if s.owners == nil {
		return status.Error(codes.Unimplemented, "not known")
	}
	if err := st.Send(s.owners); err != nil {
		return err
	}
	<-st.Context().Done()
	return nil
}

// submitted notes an order, and says what becomes of it.
func (s *server) submitted(o *orderv1.WorkOrder) (answer *orderv1.Submission, silent bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := messages.OrderID(o.GetId()).Validate(); err != nil {
		return nil, false, status.Error(codes.InvalidArgument, err.Error())
	}
	if _, again := s.seen[o.GetId()]; again {
		return nil, false, status.Error(codes.AlreadyExists, o.GetId())
	}
	n := len(s.seen)
	s.seen[o.GetId()] = n
	if s.silent != nil && s.silent(n) {
		return nil, true, nil
	}
	if s.end != nil {
		if a := s.end(n, o); a != nil {
			return a, false, nil
		}
	}
	return completed(o), false, nil
}

func completed(o *orderv1.WorkOrder) *orderv1.Submission {
	return &orderv1.Submission{Id: o.GetId(), Answer: &orderv1.Submission_Ended{
		Ended: &orderv1.Ended{Status: orderv1.Status_STATUS_COMPLETED, Output: o.GetInput()},
	}}
}

func faulted(o *orderv1.WorkOrder) *orderv1.Submission {
	return &orderv1.Submission{Id: o.GetId(), Answer: &orderv1.Submission_Ended{
		Ended: &orderv1.Ended{Status: orderv1.Status_STATUS_FAULTED, Error: &problemv1.Problem{Title: "Broken"}},
	}}
}

func refused(o *orderv1.WorkOrder) *orderv1.Submission {
	return &orderv1.Submission{Id: o.GetId(), Answer: &orderv1.Submission_Refused{
		Refused: &orderv1.Refused{Code: int32(codes.ResourceExhausted), Message: "busy"},
	}}
}

func (s *server) SubmitStream(st grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error {
	for {
		m, err := st.Recv()
		if err != nil {
			if st.Context().Err() != nil {
				return status.FromContextError(st.Context().Err()).Err()
			}
			return nil
		}
		s.mu.Lock()
		s.frames++
		s.under += len(m.GetSubmissions())
		s.most = max(s.most, s.under)
		s.mu.Unlock()
		<-time.After(s.takes)
		var out []*orderv1.Submission
		for _, r := range m.GetSubmissions() {
			a, silent, err := s.submitted(r.GetOrder())
			if err != nil {
				return err
			}
			if silent {
				continue
			}
			if a.GetRefused() == nil {
				out = append(out, &orderv1.Submission{Id: a.GetId(), Answer: &orderv1.Submission_Accepted{Accepted: &orderv1.Accepted{}}})
			}
			if a.GetRefused() != nil || r.GetWait() == orderv1.Wait_WAIT_ENDED {
				out = append(out, a)
			}
		}
		s.mu.Lock()
		s.under -= len(m.GetSubmissions())
		s.mu.Unlock()
		if err := st.Send(&orderv1.SubmitStreamResponse{Submissions: out}); err != nil {
			return err
		}
	}
}

func (s *server) Submit(_ context.Context, r *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
	<-time.After(s.takes)
	a, _, err := s.submitted(r.GetOrder())
	if err != nil {
		return nil, err
	}
	if x := a.GetRefused(); x != nil {
		return nil, status.Error(codes.Code(x.GetCode()), x.GetMessage())
	}
	e := a.GetEnded()
	return &orderv1.SubmitResponse{Order: &orderv1.Order{
		Id: r.GetOrder().GetId(), Status: e.GetStatus(), Output: e.GetOutput(), Error: e.GetError(),
	}}, nil
}

func (s *server) History(_ context.Context, r *orderv1.HistoryRequest) (*orderv1.HistoryResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.seen[r.GetId()]; !known {
		return nil, status.Error(codes.NotFound, r.GetId())
	}
	return &orderv1.HistoryResponse{Events: s.history(r.GetId())}, nil
}

func waited(due, woke time.Time) []*orderv1.HistoryEvent {
	return []*orderv1.HistoryEvent{
		{Version: 1, EventType: eventtype.OrderAccepted},
		{Version: 2, EventType: eventtype.WaitStarted, Due: timestamppb.New(due)},
		{Version: 3, EventType: eventtype.TaskCompleted, At: timestamppb.New(woke)},
	}
}
