package adapters_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// BenchmarkEcho measures an adapter process: a node in this process keeps 256 tasks under way, with 100 bytes in and out.
// In "at once" each result is followed by the next task immediately; in "every 2 ms" they gather for as long as a group
// commit takes. cpu-µs/task is what the adapter process used.
func BenchmarkEcho(b *testing.B) {
	for name, gather := range map[string]time.Duration{"at once": 0, "every 2 ms": 2 * time.Millisecond} {
		b.Run(name, func(b *testing.B) { benchmarkEcho(b, gather) })
	}
}

func benchmarkEcho(b *testing.B, gather time.Duration) {
	b.Helper()
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	node := &pump{tasks: b.N, gather: gather, ready: make(chan struct{}), start: make(chan struct{}), done: make(chan struct{})}
	server := grpc.NewServer()
	adapterv1.RegisterAdapterServiceServer(server, node)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	child := adapterProcess(b, "-server", listener.Addr().String(), "-log-level", "error")
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	<-node.ready
	b.ResetTimer()
	close(node.start)
	<-node.done
	b.StopTimer()
	elapsed := b.Elapsed()
	if err := errors.Join(child.Process.Signal(syscall.SIGTERM), child.Wait()); err != nil {
		b.Fatal(err)
	}
	server.Stop()
	if err := <-served; err != nil {
		b.Fatal(err)
	}
	cpu := child.ProcessState.UserTime() + child.ProcessState.SystemTime()
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "tasks/s")
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/task")
	b.ReportMetric(float64(b.N)/float64(node.frames), "results/message")
	b.ReportMetric(0, "ns/op")
}

// pump is a node that keeps tasks under way.
type pump struct {
	adapterv1.UnimplementedAdapterServiceServer

	tasks              int
	gather             time.Duration
	ready, start, done chan struct{}
	frames             int
}

func (p *pump) Connect(stream grpc.BidiStreamingServer[adapterv1.ConnectRequest, adapterv1.ConnectResponse]) error {
	const window = 256
	if _, err := stream.Recv(); err != nil {
		return err
	}
	if err := stream.Send(&adapterv1.ConnectResponse{Welcome: &adapterv1.Welcome{Node: "n", HeartbeatMs: 1000}}); err != nil {
		return err
	}
	for granted := uint64(0); granted < window; { // the first message has the credits
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, c := range m.GetCredits() {
			if c.GetActivity() == "echo" {
				granted = c.GetTotal()
			}
		}
	}
	close(p.ready)
	<-p.start
	sent, received := 0, 0
	results := make(chan []*adapterv1.Result, window) // each message has at least one
	go p.read(stream, results)
	batch := slices.Repeat([]*adapterv1.Result{nil}, window) // as if so many had come: the first tasks
	for {
		answer := &adapterv1.ConnectResponse{}
		for _, r := range batch {
			if r != nil {
				answer.Acks = append(answer.Acks, r.GetSeq())
				received++
			}
			if sent < p.tasks {
				answer.Tasks = append(answer.Tasks, newBenchTask(sent))
				sent++
			}
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
		if received == p.tasks {
			close(p.done)
			for range results { // until the adapter leaves
			}
			return nil
		}
		batch = append(batch[:0], <-results...)
		if p.gather > 0 {
			time.Sleep(p.gather) // stands in for a commit
		}
		for len(results) > 0 {
			batch = append(batch, <-results...)
		}
	}
}

func (p *pump) read(stream grpc.BidiStreamingServer[adapterv1.ConnectRequest, adapterv1.ConnectResponse],
	results chan<- []*adapterv1.Result,
) {
	defer close(results)
	for {
		m, err := stream.Recv()
		if err != nil {
			return
		}
		if len(m.GetResults()) > 0 {
			p.frames++
			results <- m.GetResults()
		}
	}
}

var benchInput = []byte(`"` + string(make100()) + `"`)

func make100() []byte {
	b := make([]byte, 98)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

func newBenchTask(n int) *adapterv1.Task {
	return &adapterv1.Task{
		OrderId: fmt.Sprintf("0199c7a2-5d3e-7c51-b0aa-%012d", n/3), Partition: uint32(n) % 256, Epoch: 1, Attempt: 1,
		Key:      fmt.Sprintf("0199c7a2-5d3e-7c51-b0aa-%012d/do/%d/call", n/3, n%3),
		Activity: "echo", Input: benchInput, Task: "/do/0/call",
	}
}
