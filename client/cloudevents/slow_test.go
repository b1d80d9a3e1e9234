package cloudevents_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/client/cloudevents"
	"github.com/holdfast-run/holdfast/messages/eventv1"
)

// serve serves a handler, and returns its address.
func serve(t *testing.T, h http.Handler, within time.Duration) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ReadTimeout = within
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// client is a connection by which a client says what it likes.
type client struct {
	net.Conn

	t       *testing.T
	answers *bufio.Reader
}

func dial(t *testing.T, address string) *client {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &client{c, t, bufio.NewReader(c)}
}

func (c *client) sayf(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, format, args...); err != nil {
		c.t.Fatal(err)
	}
}

// begin begins a request with an event whose data has so many bytes, and returns when its body is being read.
func (c *client) begin(data int) {
	c.t.Helper()
	c.sayf("POST /events/test HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: text/plain\r\n"+
		"ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\nContent-Length: %d\r\n\r\n", data)
	if line, err := c.answers.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		c.t.Fatalf("%q %v", line, err)
	}
	if _, err := c.answers.ReadString('\n'); err != nil {
		c.t.Fatal(err)
	}
}

// want reads an answer, and tells whether the connection is over.
func (c *client) want(status int, text string) (over bool) {
	c.t.Helper()
	answer, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status || !strings.Contains(string(body), text) {
		c.t.Errorf("%d %s %v, want %d %q", answer.StatusCode, body, err, status, text)
	}
	return answer.Close
}

// A client whose body does not come in time is told so, and its connection is over.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	address := serve(t, newHandler(t, heard, cloudevents.Config{}), 2*time.Second)
	slow := dial(t, address)
	slow.begin(100)
	slow.sayf("x")
	if over := slow.want(http.StatusRequestTimeout, "the body did not come in time"); !over {
		t.Error("the connection goes on")
	}
}

// At the bound of memory the client gives way that has been sending its body for longest; those that send theirs at once do not notice.
func TestSlowestGivesWay(t *testing.T) {
	t.Parallel()
	const most = 64 << 10
	address := serve(t, newHandler(t, heard, cloudevents.Config{MaxBody: most, Bodies: most}), time.Minute)
	first, second := dial(t, address), dial(t, address)
	first.begin(most - 1)
	second.begin(1000)
	fast := dial(t, address)
	fast.begin(most - 1) // takes all there is
	fast.sayf("%s", strings.Repeat("x", most-1))
	fast.want(http.StatusNoContent, "")
	for _, slow := range []*client{first, second} {
		if over := slow.want(http.StatusServiceUnavailable, "there is no room for the body"); !over {
			t.Error("the connection goes on")
		}
	}
	again := dial(t, address)
	again.begin(10)
	again.sayf("0123456789")
	again.want(http.StatusNoContent, "")
}

// A body whose end does not come because the client has gone is given up.
func TestBrokenBody(t *testing.T) {
	t.Parallel()
	address := serve(t, newHandler(t, heard, cloudevents.Config{}), time.Minute)
	c := dial(t, address)
	c.begin(100)
	c.sayf("x")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil { //nolint:errcheck // it is one
		t.Fatal(err)
	}
	c.want(http.StatusBadRequest, "the body can't be read")
	chunked := dial(t, address)
	chunked.sayf("POST /events/test HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n")
	chunked.want(http.StatusBadRequest, "the body can't be read")
}

// A body without a length is bounded, too.
func TestChunkedBody(t *testing.T) {
	t.Parallel()
	address := serve(t, newHandler(t, heard, cloudevents.Config{MaxBody: 10_000}), time.Minute)
	for length, want := range map[int]int{10_000: http.StatusNoContent, 10_001: http.StatusRequestEntityTooLarge} {
		c := dial(t, address)
		c.sayf("POST /events/test HTTP/1.1\r\nHost: x\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\n"+
			"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", length, strings.Repeat("x", length))
		c.want(want, "")
	}
}

// More requests than may be under way are told to come back, and are taken when there is a place again.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	var statuses []int
	config := cloudevents.Config{MaxRequests: 1}
	h := newHandler(t, func(ctx context.Context, r *eventv1.PublishRequest, opts ...grpc.CallOption) (*eventv1.PublishResponse, error) {
		entered <- struct{}{}
		<-leave
		return heard(ctx, r, opts...)
	}, config)
	post := func() *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/events/test", http.NoBody)
		for name, value := range map[string]string{"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"} {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for range 2 {
		done := make(chan int)
		go func() { done <- post().Code }()
		<-entered
		w := post()
		statuses = append(statuses, w.Code)
		if w.Header().Get("Retry-After") != "1" {
			t.Errorf("it is not told to come back: %v", w.Header())
		}
		leave <- struct{}{}
		statuses = append(statuses, <-done)
	}
	if got := fmt.Sprint(statuses); got != "[503 204 503 204]" {
		t.Errorf("answered with %s", got)
	}
}

// A client that goes before the answer ends its publication, and is counted as one that has gone.
func TestClientThatGoes(t *testing.T) {
	t.Parallel()
	ctx, gone := context.WithCancel(t.Context())
	var got cloudevents.Answer
	h := newHandler(t, func(ctx context.Context, _ *eventv1.PublishRequest, _ ...grpc.CallOption) (*eventv1.PublishResponse, error) {
		gone()
		<-ctx.Done()
		return nil, ctx.Err()
	}, cloudevents.Config{Answered: func(a cloudevents.Answer) { got = a }})
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/events/test", strings.NewReader(`{"specversion":"1.0","id":"1","source":"/s","type":"t"}`))
	r.Header.Set("Content-Type", "application/cloudevents+json")
	h.ServeHTTP(httptest.NewRecorder(), r)
	if got.Status != 499 {
		t.Errorf("counted as %+v", got)
	}
}
