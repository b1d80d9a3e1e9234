package gateway_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/audit/recorder"
	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/cluster"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/pebble"
	"github.com/holdfast-run/holdfast/supervision"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is an engine with its API, and clients of it. Its tests run in bubbles of synctest.
type node struct {
	t           testing.TB
	engine      *actors.Engine
	server      *gateway.Server
	audit       *recorder.Recorder
	grpc        *grpc.Server
	adminGRPC   *grpc.Server
	conn        *grpc.ClientConn
	adminConn   *grpc.ClientConn
	orders      orderv1.OrderServiceClient
	definitions definitionv1.DefinitionServiceClient
	admin       adminv1.AdminServiceClient
	adminOrders orderv1.OrderServiceClient
	stop        func()
}

type settings struct {
	gateway gateway.Config
	engine  actors.Config
	wrap    func(persistence.Journal) persistence.Journal
	log     io.Writer
	callers gateway.Callers
}

func start(tb testing.TB, changes ...func(*settings)) *node {
	tb.Helper()
	s := settings{log: testLog{tb}}
	for _, change := range changes {
		change(&s)
	}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	metrics := actors.NewMetrics(prometheus.NewRegistry())
	j, err := pebble.Open(pebble.Config{
		Dir: "journal", FS: vfs.NewMem(), MemTableBytes: 1 << 20, CacheBytes: 1 << 20, LowWaterBytes: -1, Logger: log,
	})
	if err != nil {
		tb.Fatal(err)
	}
	var seen persistence.Journal = j
	if s.wrap != nil {
		seen = s.wrap(j)
	}
	n := &node{t: tb}
	s.engine.HeavyShare = 1 // how much processor time the machine gives is nothing to the clock of a bubble
	n.engine, err = actors.New(s.engine, actors.Deps{
		Journal: seen, Placement: cluster.NewSingle(), Metrics: metrics, Log: log, Crowded: never,
		Watchdog: supervision.NewWatchdog(time.Now, log), Fatal: func(err error) { tb.Errorf("fatal: %v", err) },
	})
	if err == nil {
		err = n.engine.Start(tb.Context())
	}
	if err != nil {
		tb.Fatal(err)
	}
	n.server = gateway.New(s.gateway, n.engine, metrics, "node", log)
	if s.callers != nil {
		n.server.Ask(s.callers)
	}
	n.audit = recorder.Start(recorder.Config{Chain: "node", Incarnation: "node/1"}, recorder.Deps{Journal: seen, Now: time.Now, Log: log})
	n.server.AuditBy(n.audit)
	n.grpc = n.server.GRPC()
	adminGRPC := n.server.AdminGRPC()
	n.adminGRPC = adminGRPC
	var serving sync.WaitGroup
	serve := func(g *grpc.Server) *grpc.ClientConn {
		listener := bufconn.Listen(1 << 20)
		serving.Go(func() { _ = g.Serve(listener) })
		conn, err := grpc.NewClient("passthrough:///node", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
			grpc.WithInitialWindowSize(1<<16), grpc.WithInitialConnWindowSize(1<<20)) // else one that does not read is found to take 16 MiB
		if err != nil {
			tb.Fatal(err)
		}
		return conn
	}
	n.conn = serve(n.grpc)
	adminConn := serve(adminGRPC)
	n.adminConn = adminConn
	n.server.SetServing(true)
	n.admin, n.adminOrders = adminv1.NewAdminServiceClient(adminConn), orderv1.NewOrderServiceClient(adminConn)
	n.orders = orderv1.NewOrderServiceClient(n.conn)
	n.definitions = definitionv1.NewDefinitionServiceClient(n.conn)
	n.stop = sync.OnceFunc(func() {
		n.grpc.Stop()
		adminGRPC.Stop()
		serving.Wait()
		_ = n.conn.Close()
		_ = adminConn.Close()
		n.engine.Stop()
		n.audit.Stop()
		if err := j.Close(); err != nil {
			tb.Error(err)
		}
		time.Sleep(time.Second) // protoactor counts dead letters for so long
	})
	tb.Cleanup(n.stop)
	return n
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// deploy deploys a definition with these tasks, and returns its name.
func (n *node) deploy(name, version, tasks string) string {
	n.t.Helper()
	doc := fmt.Sprintf("document: {dsl: 1.0.3, namespace: test, name: %s, version: %s}\n%s", name, version, tasks)
	if _, err := n.definitions.Deploy(n.t.Context(), &definitionv1.DeployRequest{Document: []byte(doc)}); err != nil {
		n.t.Fatal(err)
	}
	return fmt.Sprintf("test/%s:%s", name, version)
}

// Tasks of definitions.
const (
	nothing  = "do: [{a: {set: {x: 1}}}]"
	callOne  = "do: [{a: {call: x.do}}]"
	waitLong = "do: [{a: {wait: PT30S}}]"
)

// submit submits an order and returns it.
func (n *node) submit(o *orderv1.WorkOrder, wait orderv1.Wait) *orderv1.Order {
	n.t.Helper()
	r, err := n.orders.Submit(n.t.Context(), &orderv1.SubmitRequest{Order: o, Wait: wait})
	if err != nil {
		n.t.Fatalf("submit %s: %v", o.GetId(), err)
	}
	return r.GetOrder()
}

// refusal is what a caller is told.
type refusal struct {
	code   codes.Code
	reason string
	fields []string
	retry  bool
}

func refusalOf(t *testing.T, err error) refusal {
	t.Helper()
	st, ok := status.FromError(err)
	if !ok {
		t.Fatalf("error is not of gRPC: %v", err)
	}
	r := refusal{code: st.Code()}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			r.reason = d.GetReason()
			if d.GetDomain() != "holdfast" {
				t.Errorf("domain is %q", d.GetDomain())
			}
		case *errdetails.BadRequest:
			for _, f := range d.GetFieldViolations() {
				r.fields = append(r.fields, f.GetField())
				if f.GetDescription() == "" {
					t.Errorf("nothing is said about %s", f.GetField())
				}
			}
		case *errdetails.RetryInfo:
			r.retry = d.GetRetryDelay().AsDuration() > 0
		}
	}
	slices.Sort(r.fields)
	return r
}

func wantRefusal(t *testing.T, err error, code codes.Code, reason string, fields ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %v %s", code, reason)
		return
	}
	r := refusalOf(t, err)
	slices.Sort(fields)
	if r.code != code || r.reason != reason || !slices.Equal(r.fields, fields) {
		t.Errorf("refused as %v %s %v, want %v %s %v: %v", r.code, r.reason, r.fields, code, reason, fields, err)
	}
	if retry := code == codes.ResourceExhausted || code == codes.Unavailable; r.retry != retry {
		t.Errorf("%v %s: retry info %v, want %v", code, reason, r.retry, retry)
	}
}

// connect opens the stream of an adapter that grants credits for x.do, and waits for the welcome.
func (n *node) connect(credits uint64, changes ...func(*adapterv1.Hello)) *adaptertest.Stream {
	n.t.Helper()
	a := adaptertest.Dial(n.t, n.conn, &adapterv1.ConnectRequest{
		Hello: adaptertest.Hello(changes...), Credits: []*adapterv1.Credit{{Activity: "do", Total: credits}},
	})
	if m := a.Hear(); m.GetWelcome().GetNode() != "node" {
		n.t.Fatalf("the welcome is %v", m)
	}
	return a
}

// settle returns when nobody has anything to do before the clock moves.
func settle() { synctest.Wait() }

// raw is a message as it is on the wire.
type raw []byte

var (
	asRaw = grpc.ForceCodec(rawCodec{})
	bidi  = grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
)

type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(m any) ([]byte, error) { return m.(raw), nil } //nolint:errcheck // only raw is sent

func (rawCodec) Unmarshal(data []byte, m any) error {
	*m.(*raw) = slices.Clone(data) //nolint:errcheck // as above
	return nil
}

// never has no heavy work wait: time goes by jumps here, and that of processors does not.
func never(time.Time) bool { return false }
