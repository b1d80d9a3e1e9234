package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(beChild(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// step puts what a test does before and after a command, and what the node does for it, in an order that the race
// detector knows.
type step struct{ mu sync.Mutex }

// turn begins a turn, and returns what ends it.
func (s *step) turn() func() {
	touch := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	touch()
	return touch
}

// fakeOrders is a node that answers as a test tells it: what a client makes of answers is tested here, not the engine.
type fakeOrders struct {
	orderv1.UnimplementedOrderServiceServer
	step

	submit  func(context.Context, *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error)
	get     func(*orderv1.GetRequest) (*orderv1.GetResponse, error)
	list    func(*orderv1.ListRequest) (*orderv1.ListResponse, error)
	history func(*orderv1.HistoryRequest) (*orderv1.HistoryResponse, error)
	watch   func(*orderv1.WatchRequest, grpc.ServerStreamingServer[orderv1.WatchResponse]) error
	follow  func(*orderv1.WatchListRequest, grpc.ServerStreamingServer[orderv1.WatchListResponse]) error
	cancel  func(*orderv1.CancelRequest) (*orderv1.CancelResponse, error)
	stream  func(grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error
}

func (f *fakeOrders) SubmitStream(s grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error {
	defer f.turn()()
	if f.stream == nil { // a node that says nothing
		<-s.Context().Done()
		return s.Context().Err()
	}
	return f.stream(s)
}

func (f *fakeOrders) Submit(ctx context.Context, r *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
	defer f.turn()()
	return f.submit(ctx, r)
}

func (f *fakeOrders) Get(_ context.Context, r *orderv1.GetRequest) (*orderv1.GetResponse, error) {
	defer f.turn()()
	return f.get(r)
}

func (f *fakeOrders) List(_ context.Context, r *orderv1.ListRequest) (*orderv1.ListResponse, error) {
	defer f.turn()()
	return f.list(r)
}

func (f *fakeOrders) History(_ context.Context, r *orderv1.HistoryRequest) (*orderv1.HistoryResponse, error) {
	defer f.turn()()
	return f.history(r)
}

func (f *fakeOrders) Watch(r *orderv1.WatchRequest, s grpc.ServerStreamingServer[orderv1.WatchResponse]) error {
	defer f.turn()()
	return f.watch(r, s)
}

func (f *fakeOrders) WatchList(r *orderv1.WatchListRequest, s grpc.ServerStreamingServer[orderv1.WatchListResponse]) error {
	defer f.turn()()
	return f.follow(r, s)
}

func (f *fakeOrders) Cancel(_ context.Context, r *orderv1.CancelRequest) (*orderv1.CancelResponse, error) {
	defer f.turn()()
	return f.cancel(r)
}

type fakeDefinitions struct {
	definitionv1.UnimplementedDefinitionServiceServer
	step

	deploy    func(*definitionv1.DeployRequest) (*definitionv1.DeployResponse, error)
	validate  func(*definitionv1.ValidateRequest) (*definitionv1.ValidateResponse, error)
	get       func(*definitionv1.GetRequest) (*definitionv1.GetResponse, error)
	retire    func(*definitionv1.RetireRequest) (*definitionv1.RetireResponse, error)
	reinstate func(*definitionv1.ReinstateRequest) (*definitionv1.ReinstateResponse, error)
	remove    func(*definitionv1.RemoveRequest) (*definitionv1.RemoveResponse, error)
	list      func(*definitionv1.ListRequest) (*definitionv1.ListResponse, error)
}

func (f *fakeDefinitions) Retire(_ context.Context, r *definitionv1.RetireRequest) (*definitionv1.RetireResponse, error) {
	defer f.turn()()
	return f.retire(r)
}

func (f *fakeDefinitions) Reinstate(_ context.Context, r *definitionv1.ReinstateRequest) (*definitionv1.ReinstateResponse, error) {
	defer f.turn()()
	return f.reinstate(r)
}

func (f *fakeDefinitions) Remove(_ context.Context, r *definitionv1.RemoveRequest) (*definitionv1.RemoveResponse, error) {
	defer f.turn()()
	return f.remove(r)
}

func (f *fakeDefinitions) Deploy(_ context.Context, r *definitionv1.DeployRequest) (*definitionv1.DeployResponse, error) {
	defer f.turn()()
	return f.deploy(r)
}

func (f *fakeDefinitions) Validate(ctx context.Context, r *definitionv1.ValidateRequest) (*definitionv1.ValidateResponse, error) {
	defer f.turn()()
	if f.validate == nil {
		return f.UnimplementedDefinitionServiceServer.Validate(ctx, r)
	}
	return f.validate(r)
}

func (f *fakeDefinitions) Get(_ context.Context, r *definitionv1.GetRequest) (*definitionv1.GetResponse, error) {
	defer f.turn()()
	return f.get(r)
}

func (f *fakeDefinitions) List(_ context.Context, r *definitionv1.ListRequest) (*definitionv1.ListResponse, error) {
	defer f.turn()()
	return f.list(r)
}

// fakeAdmin answers operators.
type fakeAdmin struct {
	adminv1.UnimplementedAdminServiceServer
	step

	show       func(*adminv1.ShowFalloutRequest) (*adminv1.ShowFalloutResponse, error)
	operate    func(*adminv1.OperateRequest) (*adminv1.OperateResponse, error)
	operateAll func(*adminv1.OperateAllRequest) (*adminv1.OperateAllResponse, error)
	// unary fills the answers to the other calls.
	unary func(answer proto.Message)
}

// filled fills an answer.
func filled[T proto.Message](f *fakeAdmin, answer T) (T, error) {
	defer f.turn()()
	f.unary(answer)
	return answer, nil
}

func (f *fakeAdmin) ListFallout(context.Context, *adminv1.ListFalloutRequest) (*adminv1.ListFalloutResponse, error) {
	return filled(f, &adminv1.ListFalloutResponse{})
}

func (f *fakeAdmin) ShowKey(context.Context, *adminv1.ShowKeyRequest) (*adminv1.ShowKeyResponse, error) {
	return filled(f, &adminv1.ShowKeyResponse{})
}

func (f *fakeAdmin) ListActivities(context.Context, *adminv1.ListActivitiesRequest) (*adminv1.ListActivitiesResponse, error) {
	return filled(f, &adminv1.ListActivitiesResponse{})
}

func (f *fakeAdmin) ShowLoss(context.Context, *adminv1.ShowLossRequest) (*adminv1.ShowLossResponse, error) {
	return filled(f, &adminv1.ShowLossResponse{})
}

func (f *fakeAdmin) AcceptLoss(context.Context, *adminv1.AcceptLossRequest) (*adminv1.AcceptLossResponse, error) {
	return filled(f, &adminv1.AcceptLossResponse{})
}

func (f *fakeAdmin) Status(context.Context, *adminv1.StatusRequest) (*adminv1.StatusResponse, error) {
	return filled(f, &adminv1.StatusResponse{})
}

func (f *fakeAdmin) ShowFallout(_ context.Context, r *adminv1.ShowFalloutRequest) (*adminv1.ShowFalloutResponse, error) {
	defer f.turn()()
	return f.show(r)
}

func (f *fakeAdmin) Operate(_ context.Context, r *adminv1.OperateRequest) (*adminv1.OperateResponse, error) {
	defer f.turn()()
	return f.operate(r)
}

func (f *fakeAdmin) OperateAll(r *adminv1.OperateAllRequest, s grpc.ServerStreamingServer[adminv1.OperateAllResponse]) error {
	defer f.turn()()
	answer, err := f.operateAll(r)
	if err != nil {
		return err
	}
	return s.Send(answer)
}

// fake is a client's world: a node, and what is typed at a shell.
type fake struct {
	t           *testing.T
	orders      fakeOrders
	definitions fakeDefinitions
	admin       fakeAdmin
	server      string
	stdin       string
	environ     []string
	width       int // of the terminal
}

func setup(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t}
	f.server = f.serve()
	f.environ = []string{"HOLDFAST_SERVER=" + f.server, "HOLDFAST_ADMIN=" + f.server}
	return f
}

// serve starts a node, and returns its address.
func (f *fake) serve() string {
	f.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	s := grpc.NewServer()
	orderv1.RegisterOrderServiceServer(s, &f.orders)
	definitionv1.RegisterDefinitionServiceServer(s, &f.definitions)
	adminv1.RegisterAdminServiceServer(s, &f.admin)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	f.t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // before it served, if nobody asked it
			f.t.Error(err)
		}
	})
	return l.Addr().String()
}

// noTerminal is behind an output that goes to a file or pipe.
func noTerminal(io.Writer) int { return 0 }

// outcome is what came of a command.
type outcome struct {
	status         int
	stdout, stderr string
}

// run runs a command.
func (f *fake) run(args ...string) outcome {
	f.t.Helper()
	return f.runUntil(f.t.Context(), args...)
}

func (f *fake) runUntil(ctx context.Context, args ...string) outcome {
	f.t.Helper()
	defer f.orders.turn()()
	defer f.definitions.turn()()
	defer f.admin.turn()()
	var stdout, stderr bytes.Buffer
	status := run(ctx, &app{
		stdin: strings.NewReader(f.stdin), stdout: &stdout, stderr: &stderr,
		environ:  func() []string { return f.environ },
		terminal: func(io.Writer) int { return f.width },
	}, args)
	return outcome{status: status, stdout: stdout.String(), stderr: stderr.String()}
}

// want compares an outcome.
func (o outcome) want(t *testing.T, status int, stdout, stderr string) {
	t.Helper()
	if o.status != status {
		t.Errorf("exit status %d, want %d", o.status, status)
	}
	if o.stdout != stdout {
		t.Errorf("standard output:\n%s\nwant:\n%s", o.stdout, stdout)
	}
	if o.stderr != stderr {
		t.Errorf("standard error:\n%s\nwant:\n%s", o.stderr, stderr)
	}
}

// file makes a file for a test.
func (f *fake) file(name, content string) string {
	f.t.Helper()
	path := filepath.Join(f.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// at is a time in tests.
func at(seconds int) *timestamppb.Timestamp {
	return timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5+seconds, 678e6, time.UTC))
}

// screen is an output that tests can wait on.
type screen struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{}
}

func newScreen() *screen { return &screen{grown: make(chan struct{}, 1)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.grown <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until the output holds a text a number of times.
func (s *screen) await(t *testing.T, text string, times int) {
	t.Helper()
	late := time.After(30 * time.Second)
	for strings.Count(s.String(), text) < times {
		select {
		case <-s.grown:
		case <-late:
			t.Fatalf("%q is not %d times in the output:\n%s", text, times, fmt.Sprint(s))
		}
	}
}
