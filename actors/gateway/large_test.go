package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// pageBytes is about what a message may have, but for one that has a single larger thing.
const pageBytes = 1<<20 + 64<<10

// again is the tasks of an order that goes round so often, each time with its input's s in an event, and an error that is
// caught.
func again(times int) string {
	return fmt.Sprintf(`do:
- round:
    do:
    - pad: {set: {n: '${ (.n // 0) + 1 }', s: '${ .s }'}}
    - odd: {try: [{oops: {if: '${ .n %% 7 == 0 }', raise: {error: {type: 'https://example.com/e', status: 400, title: Oops}}}}], catch: {}}
- more: {switch: [{again: {when: '${ .n < %d }', then: round}}]}`, times)
}

// readBytes is a journal that counts what is read of histories.
type readBytes struct {
	persistence.Journal

	bytes *atomic.Int64
}

func (j readBytes) Records(ctx context.Context, h messages.Handle, from messages.Version) iter.Seq2[persistence.StoredRecord, error] {
	return func(yield func(persistence.StoredRecord, error) bool) {
		for r, err := range j.Journal.Records(ctx, h, from) {
			j.bytes.Add(int64(len(r.Data)))
			if !yield(r, err) {
				return
			}
		}
	}
}

// large runs an order whose history has 4.8 MB: more than clients take at once.
func (n *node) large(id string) {
	n.t.Helper()
	const calls = 40
	tasks := "do:"
	for i := range calls {
		tasks += fmt.Sprintf("\n- a%d: {call: x.do}", i)
	}
	def := n.deploy("large", "1.0.0", tasks)
	n.submit(&orderv1.WorkOrder{Id: id, Definition: def}, accepted)
	a := n.connect(1)
	for i := range calls {
		r := adaptertest.ResultOf(a.Tasks(1)[0], uint64(i+1))
		r.Output = fmt.Appendf(nil, "%q", strings.Repeat("x", 120_000))
		a.Say(&adapterv1.ConnectRequest{Results: []*adapterv1.Result{r}, Credits: []*adapterv1.Credit{{Activity: "do", Total: uint64(i + 2)}}})
	}
	settle()
}

func (n *node) history(r *orderv1.HistoryRequest) *orderv1.HistoryResponse {
	n.t.Helper()
	page, err := n.orders.History(n.t.Context(), r)
	if err != nil {
		n.t.Fatal(err)
	}
	return page
}

// A history of any size is told in messages that each client takes.
func TestLargeHistory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.large("a")
		var all []*orderv1.HistoryEvent
		for from, pages := uint64(1), 0; from != 0; pages++ {
			page := n.history(&orderv1.HistoryRequest{Id: "a", FromVersion: from})
			if size := proto.Size(page); size > pageBytes {
				t.Errorf("a page has %d bytes", size)
			}
			all = append(all, page.GetEvents()...)
			from = page.GetNextVersion()
			if pages > 100 {
				t.Fatal("there is no end")
			}
		}
		want := describe(all)
		if last := all[len(all)-1]; last.GetType() != "order.completed" || last.GetVersion() != uint64(len(all)) {
			t.Errorf("after %d events the last is %d, %s", len(all), last.GetVersion(), last.GetType())
		}
		st, err := n.orders.Watch(t.Context(), &orderv1.WatchRequest{Id: "a"})
		if err != nil {
			t.Fatal(err)
		}
		var watched []*orderv1.HistoryEvent
		for {
			frame, err := st.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if size := proto.Size(frame); size > pageBytes {
				t.Errorf("a frame has %d bytes", size)
			}
			watched = append(watched, frame.GetEvents()...)
		}
		if describe(watched) != want {
			t.Error("what was watched is not what is listed")
		}
	})
}

// A page costs the same wherever it begins, and tells the same.
func TestHistoryFromAnywhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var read atomic.Int64
		n := start(t, func(s *settings) {
			s.wrap = func(j persistence.Journal) persistence.Journal { return readBytes{j, &read} }
			s.engine.Workflow.Steps = 20
		})
		def := n.deploy("again", "1.0.0", again(1000)+"\n- last: {call: x.do}")
		n.submit(&orderv1.WorkOrder{Id: "a", Definition: def, Input: fmt.Appendf(nil, `{"s": %q}`, strings.Repeat("x", 100))}, accepted)
		a := n.connect(1)
		task := a.Tasks(1)[0]
		var all []*orderv1.HistoryEvent
		for from := uint64(1); from != 0; {
			page := n.history(&orderv1.HistoryRequest{Id: "a", FromVersion: from})
			all = append(all, page.GetEvents()...)
			from = page.GetNextVersion()
		}
		if len(all) < 9000 {
			t.Fatalf("the history has %d events", len(all))
		}
		for from := 1; from < len(all); from += 1 + from%97 {
			read.Store(0)
			page := n.history(&orderv1.HistoryRequest{Id: "a", FromVersion: uint64(from), PageSize: 10})
			if got, want := describe(page.GetEvents()), describe(all[from-1:min(from+9, len(all))]); got != want {
				t.Fatalf("from %d on there are\n%s\nwant\n%s", from, got, want)
			}
			if n := read.Load(); n > 64<<10 {
				t.Fatalf("from %d on, %d bytes were read", from, n)
			}
		}
		// Who watches from behind the end is told what comes, by its name.
		watched := make(chan []*orderv1.HistoryEvent)
		for _, from := range []int{len(all), len(all) + 1, len(all) + 2} {
			go func() { watched <- n.watch(uint64(from)) }()
		}
		settle()
		a.Report(adaptertest.ResultOf(task, 1))
		for range 3 {
			events := <-watched
			from := events[0].GetVersion()
			want := describe(n.history(&orderv1.HistoryRequest{Id: "a", FromVersion: from}).GetEvents())
			if got := describe(events); got != want || from < uint64(len(all)) || !strings.HasSuffix(got, " order.completed") {
				t.Errorf("watched\n%s\nwant\n%s", got, want)
			}
		}
		read.Store(0)
		if events := n.watch(uint64(len(all) + 10)); len(events) != 0 || read.Load() > 64<<10 {
			t.Errorf("behind the end of what has ended there are %v, and %d bytes were read", events, read.Load())
		}
	})
}

// Clients that do not read hold up themselves, and others only until their connections are closed.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) {
			s.gateway = gateway.Config{Unsent: 8 << 20, SlowReader: time.Minute}
		})
		n.large("a")
		listener := bufconn.Listen(1 << 20)
		served := make(chan error, 1)
		g := n.server.GRPC()
		go func() { served <- g.Serve(gateway.Listener{Listener: listener}) }()
		defer func() {
			g.Stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
		}()
		dial := func() orderv1.OrderServiceClient {
			conn, err := grpc.NewClient("passthrough:///node", grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			return orderv1.NewOrderServiceClient(conn)
		}
		var idle []orderv1.OrderService_WatchClient
		for range 10 {
			client := dial()
			for range 10 {
				st, err := client.Watch(t.Context(), &orderv1.WatchRequest{Id: "a"})
				if err != nil {
					t.Fatal(err)
				}
				idle = append(idle, st)
			}
		}
		settle()
		time.Sleep(time.Second)
		if bytes := n.server.Unsent(); bytes > 8<<20 || bytes < 4<<20 {
			t.Errorf("%d bytes are unsent, and may be 8 MiB", bytes)
		}
		client := dial()
		began := time.Now()
		events := 0
		for from := uint64(1); from != 0; {
			page, err := client.History(t.Context(), &orderv1.HistoryRequest{Id: "a", FromVersion: from})
			if err != nil {
				t.Fatal(err)
			}
			events += len(page.GetEvents())
			from = page.GetNextVersion()
		}
		if took := time.Since(began); took < 30*time.Second || took > 10*time.Minute {
			t.Errorf("one that reads had to wait %v for those that don't", took)
		}
		if events < 100 {
			t.Errorf("%d events were read", events)
		}
		for _, st := range idle { // they lost their connections; what had come by then can still be read
			for {
				if _, err := st.Recv(); err != nil {
					break
				}
			}
		}
		settle()
		if bytes := n.server.Unsent(); bytes != 0 {
			t.Errorf("%d bytes are unsent at the end", bytes)
		}
	})
}
