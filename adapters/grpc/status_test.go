package grpc_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/adapters/grpc"
	"github.com/holdfast-run/holdfast/adapters/outbound"
	"github.com/holdfast-run/holdfast/certificates/certificatetest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// want is what is to come of a call.
type want struct {
	outcome   adapterv1.Outcome
	permanent bool
	status    int32
	kind      string
}

// is says if a result is another one.
func (w want) is(t *testing.T, what string, r *adapterv1.Result) {
	t.Helper()
	if r.GetOutcome() != w.outcome || r.GetPermanent() != w.permanent || r.GetError().GetStatus() != w.status || r.GetError().GetType() != w.kind {
		t.Errorf("%s: %v, want %v", what, r, w)
	}
}

// TestStatuses: whether a call was done is what its server says, and otherwise open.
func TestStatuses(t *testing.T) {
	t.Parallel()
	b := setup(t, grpc.Config{})
	address := serve(t, func(a *asked) error {
		code, err := strconv.Atoi(a.get("id"))
		if err != nil {
			return err
		}
		if a.method == "Watch" {
			if err := a.answer(`{}`); err != nil {
				return err
			}
		}
		return status.Error(codes.Code(code), "why\x00")
	})
	const communication, timeout = adapters.ErrorTypeCommunication, adapters.ErrorTypeTimeout
	for code, w := range map[codes.Code]want{
		codes.Canceled:           {inDoubt, false, 499, communication},
		codes.Unknown:            {inDoubt, false, 500, communication},
		codes.InvalidArgument:    {failed, true, 400, communication},
		codes.DeadlineExceeded:   {inDoubt, false, 408, timeout},
		codes.NotFound:           {failed, true, 404, communication},
		codes.AlreadyExists:      {failed, true, 409, communication},
		codes.PermissionDenied:   {failed, true, 403, communication},
		codes.ResourceExhausted:  {failed, false, 429, communication},
		codes.FailedPrecondition: {failed, true, 400, communication},
		codes.Aborted:            {failed, false, 409, communication},
		codes.OutOfRange:         {failed, true, 400, communication},
		codes.Unimplemented:      {failed, true, 501, communication},
		codes.Internal:           {inDoubt, false, 500, communication},
		codes.Unavailable:        {inDoubt, false, 503, communication},
		codes.DataLoss:           {inDoubt, false, 500, communication},
		codes.Unauthenticated:    {failed, true, 401, communication},
		codes.Code(99):           {inDoubt, false, 500, communication},
	} {
		for _, activity := range []string{"call", "callOnce"} {
			r := b.send(activity, at(address, "Get", object{"arguments": object{"id": strconv.Itoa(int(code))}}))
			w.is(t, code.String(), r)
			if detail := r.GetError().GetDetail(); !strings.HasPrefix(detail, "shop.v1.Orders/Get at "+address+": why") {
				t.Errorf("%v: %q", code, detail)
			}
		}
		// What has begun to answer, and then fails, may have been done.
		r := b.send("callOnce", at(address, "Watch", object{"arguments": object{"id": strconv.Itoa(int(code))}}))
		if r.GetOutcome() != inDoubt || r.GetError().GetStatus() != w.status {
			t.Errorf("%v after an order: %v", code, r)
		}
	}
}

// TestBroken: what was sent is in doubt if no status comes, and what was not sent was not done.
func TestBroken(t *testing.T) {
	t.Parallel()
	b := setup(t, grpc.Config{Plaintext: []string{"127.0.0.0/8"}})
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := refusing.Addr().String()
	_ = refusing.Close()
	const communication = adapters.ErrorTypeCommunication
	unsent, open := want{failed, false, 503, communication}, want{inDoubt, false, 503, communication}
	plain := serve(t, func(a *asked) error { return a.answer(`{}`) })
	web := httptest.NewServer(http.NotFoundHandler())
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(web.Close)
	secure := serve(t, func(a *asked) error { return a.answer(`{}`) }, rpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pairOf(t, certificatetest.New(t).Files("127.0.0.1"))},
	})))
	var killed *rpc.Server
	killed = rpc.NewServer(handler(func(a *asked) error {
		if a.method == "Watch" {
			if err := a.answer(`{}`); err != nil {
				return err
			}
		}
		go killed.Stop()
		<-a.Context().Done()
		return nil
	}).option())
	encrypting := setup(t, grpc.Config{Plaintext: []string{"nobody.test"}})
	for name, c := range map[string]struct {
		b       *bench
		address string
		want    want
	}{
		"nobody":                {b, nobody, unsent},
		"no TLS there":          {encrypting, plain, unsent},
		"TLS there":             {b, secure, unsent},
		"unknown certificate":   {encrypting, secure, unsent},
		"no gRPC":               {b, web.Listener.Addr().String(), unsent},
		"stopped in the middle": {b, run(t, killed), open},
	} {
		for _, activity := range []string{"call", "callOnce"} {
			if name == "stopped in the middle" && activity == "callOnce" {
				continue
			}
			c.want.is(t, name+" "+activity, c.b.send(activity, at(c.address, "Get")))
		}
	}
}

// TestSlow: a call whose time is over is in doubt, and its connection is not trusted any more.
func TestSlow(t *testing.T) {
	t.Parallel()
	b := setup(t, grpc.Config{Config: outbound.Config{Timeout: 500 * time.Millisecond}})
	var conns atomic.Int32
	slow := serve(t, func(a *asked) error {
		<-a.Context().Done()
		return nil
	}, rpc.StatsHandler(counter{&conns}))
	for range 2 {
		want{inDoubt, false, 408, adapters.ErrorTypeTimeout}.is(t, "slow", b.send("callOnce", at(slow, "Get")))
	}
	if conns.Load() != 2 {
		t.Errorf("there were %d connections", conns.Load())
	}
	// A server that takes connections and says nothing: nothing was sent.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	want{failed, false, 408, adapters.ErrorTypeTimeout}.is(t, "silent", b.send("callOnce", at(silent.Addr().String(), "Get")))
}

// TestTooMuch: an answer that is too long, or makes too much, was done, and its output is lost.
func TestTooMuch(t *testing.T) {
	t.Parallel()
	const limit = 10_000
	b := setup(t, grpc.Config{Config: outbound.Config{ResponseBytes: limit}})
	address := serve(t, func(a *asked) error {
		switch a.get("id") {
		case "long":
			return a.answer(`{"orderId": "` + strings.Repeat("x", limit) + `"}`)
		case "many":
			return a.answer(`{"parts": [{}` + strings.Repeat(",{}", 200) + `]}`)
		case "deep":
			return a.answer(strings.Repeat(`{"parent":`, 70) + "{}" + strings.Repeat("}", 70))
		case "endless":
			for a.Context().Err() == nil {
				if err := a.answer(`{"orderId": "` + strings.Repeat("x", 1000) + `"}`); err != nil {
					return err
				}
			}
			return a.Context().Err()
		case "any":
			return a.answer(`{"any": {"@type": "x/shop.v1.Order", "parts": [{}` + strings.Repeat(",{}", 200) + `]}}`)
		case "header":
			return a.SendHeader(metadata.Pairs("x-long", strings.Repeat("x", 100_000)))
		}
		return a.answer(`{"parts": [{},{}]}`)
	}, rpc.MaxHeaderListSize(1<<20))
	lost := want{succeeded, false, 500, adapters.ErrorTypeUnreported}
	for _, id := range []string{"long", "many", "deep", "any"} {
		lost.is(t, id, b.send("callOnce", at(address, "Get", object{"arguments": object{"id": id}})))
	}
	lost.is(t, "endless", b.send("callOnce", at(address, "Watch", object{"arguments": object{"id": "endless"}})))
	want{inDoubt, false, 500, adapters.ErrorTypeCommunication}.is(t, "header", b.send("callOnce", at(address, "Get", object{"arguments": object{"id": "header"}})))
	if out := b.output(at(address, "Get")); !strings.Contains(out, `"parts":[{`) {
		t.Errorf("%s", out)
	}
	// A server that says so itself is believed.
	says := serve(t, func(*asked) error {
		return status.Error(codes.ResourceExhausted, "grpc: received message larger than max (2 vs. 1)")
	})
	want{failed, false, 429, adapters.ErrorTypeCommunication}.is(t, "says", b.send("callOnce", at(says, "Get")))
}

// TestRetryAfter: a server that asks to wait is left alone for that time, and then asked again.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	b := setup(t, grpc.Config{Config: outbound.Config{RetryAfter: 2 * time.Second}})
	refused := func(code codes.Code, wait time.Duration) error {
		s, err := status.New(code, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
		if err != nil {
			return err
		}
		return s.Err()
	}
	for name, refuse := range map[string]func(a *asked) error{
		"RetryInfo": func(*asked) error { return refused(codes.Unavailable, time.Second) },
		"pushback": func(a *asked) error {
			a.SetTrailer(metadata.Pairs("grpc-retry-pushback-ms", "1000"))
			return status.Error(codes.ResourceExhausted, "later")
		},
	} {
		var came atomic.Int32
		var first atomic.Int64
		address := serve(t, func(a *asked) error {
			if came.Add(1) == 1 {
				first.Store(time.Now().UnixNano())
				return refuse(a)
			}
			if after := time.Since(time.Unix(0, first.Load())); after < time.Second {
				t.Errorf("%s: it came again after %v", name, after)
			}
			return a.answer(`{}`)
		})
		b.output(at(address, "Get"))
		if came.Load() != 2 {
			t.Errorf("%s: it came %d times", name, came.Load())
		}
	}
	for name, c := range map[string]struct {
		refuse func(a *asked) error
		want   want
	}{
		"for long": {
			func(*asked) error { return refused(codes.Unavailable, time.Hour) }, want{failed, false, 503, adapters.ErrorTypeCommunication},
		},
		"never": {func(a *asked) error {
			a.SetTrailer(metadata.Pairs("grpc-retry-pushback-ms", "-1"))
			return refused(codes.Unavailable, time.Second)
		}, want{inDoubt, false, 503, adapters.ErrorTypeCommunication}},
		"of another status": {
			func(*asked) error { return refused(codes.Internal, time.Second) }, want{inDoubt, false, 500, adapters.ErrorTypeCommunication},
		},
	} {
		var came atomic.Int32
		address := serve(t, func(a *asked) error {
			came.Add(1)
			return c.refuse(a)
		})
		c.want.is(t, name, b.send("callOnce", at(address, "Get")))
		if came.Load() != 1 {
			t.Errorf("%s: it came %d times", name, came.Load())
		}
	}
}

// TestNotLookedAt: a call that its server says it has not looked at is sent again, and one that it may have looked at is not.
func TestNotLookedAt(t *testing.T) {
	t.Parallel()
	b := setup(t, grpc.Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var came atomic.Int32
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		defer func() { _ = conn.Close() }()
		served <- refuseStreams(conn, func(f *http2.Framer, stream uint32) error {
			if came.Add(1) == 1 {
				return f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
			}
			return f.WriteRSTStream(stream, http2.ErrCodeInternal)
		})
	}()
	want{inDoubt, false, 500, adapters.ErrorTypeCommunication}.is(t, "reset", b.send("callOnce", at(l.Addr().String(), "Get")))
	if came.Load() != 2 {
		t.Errorf("it came %d times", came.Load())
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// refuseStreams speaks HTTP/2 until a second stream was answered.
func refuseStreams(conn net.Conn, answer func(f *http2.Framer, stream uint32) error) error {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return err
	}
	f := http2.NewFramer(conn, conn)
	if err := f.WriteSettings(); err != nil {
		return err
	}
	for streams := 0; streams < 2; {
		frame, err := f.ReadFrame()
		if err != nil {
			return err
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = f.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			streams++
			err = answer(f, frame.StreamID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestCancelled: a call that is given up is in doubt.
func TestCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t, grpc.Config{})
	begun, ended := make(chan struct{}), make(chan struct{})
	address := serve(t, func(a *asked) error {
		close(begun)
		<-a.Context().Done()
		close(ended)
		return nil
	})
	task := b.node.Task("callOnce", at(address, "Get"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b.node.Send(ctx, task)
	<-begun
	b.node.Cancel(task.GetKey(), task.GetAttempt())
	r := b.node.Await(ctx, task.GetKey(), task.GetAttempt())
	want{inDoubt, false, 499, adapters.ErrorTypeCommunication}.is(t, "cancelled", r)
	<-ended // the server is told
}

// TestConfig: everything that is wrong with the settings is told.
func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := grpc.New(grpc.Config{Plaintext: []string{"a b"}, Connections: -1, Config: outbound.Config{
		Allow: []string{"c d"}, KeyHeader: "grpc-key", Timeout: -1, CA: "/nowhere/at/all",
	}})
	for _, part := range []string{`plaintext "a b"`, `allow "c d"`, `"grpc-key"`, "connections", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("nothing is said of %s: %v", part, err)
		}
	}
	for _, c := range []outbound.Config{{CA: "/nowhere/at/all"}, {KeyHeader: "x-bin"}, {KeyHeader: "a b"}} {
		if _, err := grpc.New(grpc.Config{Config: c}); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	node := adaptertest.Start(t)
	a, err := grpc.New(grpc.Config{Config: outbound.Config{KeyHeader: "-", Allow: []string{"127.0.0.1"}}, Plaintext: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	node.Run(a, adapters.Config{})
	var header metadata.MD
	address := serve(t, func(a *asked) error {
		header = a.header
		return a.answer(`{}`)
	})
	if r := node.Do(t.Context(), "call", at(address, "Get")); r.GetOutcome() != succeeded || fmt.Sprint(header["idempotency-key"]) != "[]" {
		t.Errorf("%v: %v", r, header)
	}
}
