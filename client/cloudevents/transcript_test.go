package cloudevents_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cockroachdb/datadriven"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-run/holdfast/client/cloudevents"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventv1"
	"github.com/holdfast-run/holdfast/tokens"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a node as publishers see it.
type node func(ctx context.Context, r *eventv1.PublishRequest, opts ...grpc.CallOption) (*eventv1.PublishResponse, error)

// Publish implements cloudevents.Publisher.
func (n node) Publish(ctx context.Context, r *eventv1.PublishRequest, opts ...grpc.CallOption) (*eventv1.PublishResponse, error) {
	return n(ctx, r, opts...)
}

// heard takes all events, and tells that somebody listens for each.
func heard(_ context.Context, r *eventv1.PublishRequest, _ ...grpc.CallOption) (*eventv1.PublishResponse, error) {
	out := &eventv1.PublishResponse{}
	for range r.GetEvents() {
		out.Places = append(out.Places, 1)
	}
	return out, nil
}

func newHandler(tb testing.TB, n node, c cloudevents.Config) http.Handler {
	tb.Helper()
	h, err := cloudevents.New(n, c)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// TestTranscripts sends the requests of each file, and compares what is published and what is answered.
//
//	config max-body=N max-batch=N origins=(A,B) tokens   what the handler is told from here on
//	request code=CODE reason=WORD retry=1s events=0-3 field=NAME unheard=N   a request, and what the node answers; else that it is done
func TestTranscripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		t.Helper()
		t.Parallel()
		config := cloudevents.Config{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			if d.Cmd == "config" {
				config = configOf(t, d)
				return ""
			}
			return exchange(t, config, d)
		})
	})
}

func configOf(t *testing.T, d *datadriven.TestData) cloudevents.Config {
	t.Helper()
	var c cloudevents.Config
	d.MaybeScanArgs(t, "max-body", &c.MaxBody)
	d.MaybeScanArgs(t, "max-batch", &c.MaxBatch)
	c.Tokens = d.HasArg("tokens")
	for _, arg := range d.CmdArgs {
		if arg.Key == "origins" {
			c.Origins = arg.Vals
		}
	}
	return c
}

// exchange sends a request, and tells what comes of it.
func exchange(t *testing.T, config cloudevents.Config, d *datadriven.TestData) string {
	t.Helper()
	var out strings.Builder
	config.Answered = func(a cloudevents.Answer) {
		if a.Events > 0 {
			fmt.Fprintf(&out, "counted: %d events, %d unheard\n", a.Events, a.Unheard)
		}
	}
	config.Failed = func(err error) { fmt.Fprintf(&out, "logged: %v\n", err) }
	h := newHandler(t, func(ctx context.Context, r *eventv1.PublishRequest, opts ...grpc.CallOption) (*eventv1.PublishResponse, error) {
		out.WriteString(textOf(ctx, t, r, opts))
		if err := answerOf(t, d, "code"); err != nil {
			return nil, err
		}
		answer, _ := heard(ctx, r)
		unheard := 0
		d.MaybeScanArgs(t, "unheard", &unheard)
		clear(answer.GetPlaces()[:unheard])
		return answer, nil
	}, config)
	head, body, _ := strings.Cut(d.Input, "\n\n")
	text := strings.ReplaceAll(head, "\n", "\r\n") + fmt.Sprintf("\r\nHost: events.example\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "192.0.2.1:1234"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Fprintf(&out, "%d\n", w.Code)
	for _, name := range slices.Sorted(maps.Keys(w.Header())) {
		if name != "Cache-Control" && name != "Content-Type" {
			fmt.Fprintf(&out, "%s: %s\n", name, strings.Join(w.Header()[name], ", "))
		}
	}
	if answered := w.Body.String(); answered != "" {
		if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("the answer is of the type %q", got)
		}
		out.WriteString(answered)
	}
	return out.String()
}

// answerOf makes what the node of a transcript answers, if that is an error.
func answerOf(t *testing.T, d *datadriven.TestData, arg string) error {
	t.Helper()
	var word, reason, retry, events, field string
	if d.MaybeScanArgs(t, arg, &word); word == "" {
		return nil
	}
	if word == "Plaintext" {
		return status.Error(codes.Unauthenticated, tokens.ErrPlaintext.Error())
	}
	var code codes.Code
	for code = codes.OK; code.String() != word; code++ {
		if code > 100 {
			t.Fatalf("there is no code %s", word)
		}
	}
	st := status.New(code, "as the node says")
	var details []protoadapt.MessageV1
	if d.MaybeScanArgs(t, "reason", &reason); reason != "" {
		info := &errdetails.ErrorInfo{Reason: reason}
		if d.MaybeScanArgs(t, "events", &events); events != "" {
			info.Metadata = map[string]string{"events": events}
		}
		details = append(details, info)
	}
	if d.MaybeScanArgs(t, "field", &field); field != "" {
		details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: field, Description: "is not as it must be"},
		}})
	}
	if d.MaybeScanArgs(t, "retry", &retry); retry != "" {
		after, err := time.ParseDuration(retry)
		if err != nil {
			t.Fatal(err)
		}
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
	}
	if len(details) > 0 {
		var err error
		if st, err = st.WithDetails(details...); err != nil {
			t.Fatal(err)
		}
	}
	return st.Err()
}

// textOf is what was asked of a node.
func textOf(ctx context.Context, t *testing.T, r *eventv1.PublishRequest, opts []grpc.CallOption) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "publish in %q", r.GetNamespace())
	if r.GetKeepFor() != nil {
		fmt.Fprintf(&b, ", kept for %v", r.GetKeepFor().AsDuration())
	}
	sent, _ := metadata.FromOutgoingContext(ctx)
	if from := sent.Get(messages.ClientMetadata); !slices.Equal(from, []string{"192.0.2.1"}) {
		t.Errorf("the client is said to be %v", from)
	}
	if _, bounded := ctx.Deadline(); !bounded {
		t.Error("the publication may take for ever")
	}
	for _, option := range opts {
		if o, is := option.(grpc.PerRPCCredsCallOption); is {
			private := credentials.NewContextWithRequestInfo(ctx, credentials.RequestInfo{AuthInfo: credentials.TLSInfo{}})
			shown, err := o.Creds.GetRequestMetadata(private)
			fmt.Fprintf(&b, ", as %s", shown[tokens.Metadata])
			if _, elsewhere := o.Creds.GetRequestMetadata(ctx); err != nil || elsewhere == nil {
				t.Errorf("%v; in plain text to other machines: %v", err, elsewhere)
			}
		}
	}
	b.WriteByte('\n')
	for _, e := range r.GetEvents() {
		fmt.Fprintf(&b, "  id %q source %q type %q", e.GetId(), e.GetSource(), e.GetType())
		for _, f := range []struct{ name, value string }{
			{"subject", e.GetSubject()}, {"content type", e.GetContentType()}, {"schema", e.GetDataSchema()},
		} {
			if f.value != "" {
				fmt.Fprintf(&b, " %s %q", f.name, f.value)
			}
		}
		if e.GetTime() != nil {
			fmt.Fprintf(&b, " at %s", e.GetTime().AsTime().Format(time.RFC3339Nano))
		}
		for _, name := range slices.Sorted(maps.Keys(e.GetExtensions())) {
			fmt.Fprintf(&b, " %s=%q", name, e.GetExtensions()[name])
		}
		if len(e.GetData()) > 0 {
			fmt.Fprintf(&b, " data %q", e.GetData())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Settings that can't hold are refused, all of them at once.
func TestMistakesOfSettings(t *testing.T) {
	t.Parallel()
	_, err := cloudevents.New(node(heard), cloudevents.Config{
		MaxBody: -1, MaxBatch: 1001, MaxRequests: -1, Bodies: -2, Within: -1, Origins: []string{""},
	})
	if err == nil {
		t.Fatal("they are taken")
	}
	for _, want := range []string{"MaxBody is -1", "MaxBatch is 1001", "MaxRequests is -1", "Bodies are -2", "Within is -1ns", "Origins have"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told in %v", want, err)
		}
	}
	if _, err := cloudevents.New(node(heard), cloudevents.Config{MaxBody: 1 << 30}); err != nil {
		t.Errorf("bodies that are long: %v", err)
	}
}

// An event in headers is what its sender has encoded, whatever characters it has.
func FuzzHeaders(f *testing.F) {
	f.Add("Euro € 😀", "100%", false)
	f.Add(`a "quoted" one\`, "x", true)
	f.Fuzz(func(t *testing.T, subject, id string, quoted bool) {
		var got *eventv1.Event
		h := newHandler(t, func(ctx context.Context, r *eventv1.PublishRequest, opts ...grpc.CallOption) (*eventv1.PublishResponse, error) {
			got = r.GetEvents()[0]
			return heard(ctx, r, opts...)
		}, cloudevents.Config{})
		r := httptest.NewRequest(http.MethodPost, "/events/test", strings.NewReader("x"))
		for name, value := range map[string]string{"specversion": "1.0", "source": "/s", "type": "t", "id": id, "subject": subject} {
			r.Header.Set("ce-"+name, encoded(value, quoted))
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fine := utf8.ValidString(id) && utf8.ValidString(subject) && id != "" && !strings.ContainsFunc(id+subject, unicode.IsControl)
		switch {
		case fine != (w.Code == http.StatusNoContent):
			t.Errorf("%q %q: %d %s", id, subject, w.Code, w.Body)
		case fine && (got.GetId() != id || got.GetSubject() != subject):
			t.Errorf("%q %q came as %v", id, subject, got)
		}
	})
}

// encoded is a value as a sender encodes it; quoted: as one of an older version does.
func encoded(value string, quoted bool) string {
	var b strings.Builder
	for _, c := range []byte(value) {
		switch {
		case quoted && (c == '"' || c == '\\'):
			b.WriteString(`\` + string(rune(c)))
		case c <= ' ' && (!quoted || c < ' '), c == '"', c == '%', c > '~':
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return `"` + b.String() + `"`
	}
	return b.String()
}

// Whatever comes is published as events that are well formed, or refused with a reason.
func FuzzRequests(f *testing.F) {
	const event = `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":[1]}}`
	f.Add("/events/test?keep_for=1h", "application/cloudevents+json", "x", "", event)
	f.Add("/events/test", "application/cloudevents-batch+json; charset=UTF-8", "x", "", "["+event+","+event+"]")
	f.Add("/events/test", "application/json", "ce-id", `"a\"b"`, `{"a":1}`)
	f.Add("/events/%ff", "text/plain; x=\"\xff\"", "authorization", "Bearer x", "\x00")
	f.Fuzz(func(t *testing.T, target, contentType, name, value, body string) {
		h := newHandler(t, func(ctx context.Context, r *eventv1.PublishRequest, opts ...grpc.CallOption) (*eventv1.PublishResponse, error) {
			if n := len(r.GetEvents()); n == 0 || n > 3 {
				t.Errorf("%d events are published", n)
			}
			for _, e := range r.GetEvents() {
				if e.GetId() == "" || e.GetSource() == "" || e.GetType() == "" {
					t.Errorf("%v is published", e)
				}
			}
			if _, err := proto.Marshal(r); err != nil {
				t.Errorf("%v can't be sent: %v", r, err)
			}
			return heard(ctx, r, opts...)
		}, cloudevents.Config{MaxBatch: 3, Origins: []string{"*"}})
		r := httptest.NewRequest(http.MethodPost, "/events/test", strings.NewReader(body))
		if u, err := r.URL.Parse(target); err == nil {
			r.URL = u
		}
		for field, text := range map[string]string{"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"} {
			r.Header.Set(field, text)
		}
		r.Header.Set("Content-Type", contentType)
		r.Header.Set(name, value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusNoContent && w.Body.Len() == 0 {
			t.Errorf("%d, and no reason", w.Code)
		}
	})
}
