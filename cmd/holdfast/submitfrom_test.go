package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// takingNode runs a node with the definition t/n, whose orders do nothing.
func takingNode(t *testing.T, settings ...string) *fake {
	t.Helper()
	f := &fake{t: t}
	f.startNode(settings...)
	f.must("definition", "deploy", f.file("n.yaml",
		"document: {dsl: '1.0.3', namespace: t, name: n, version: '1.0.0'}\ninput: {schema: {document: {required: [n]}}}\ndo: [{a: {set: {x: 1}}}]\n"))
	return f
}

// orderFile makes a file with so many orders.
func (f *fake) orderFile(orders int) string {
	var b strings.Builder
	for i := range orders {
		fmt.Fprintf(&b, `{"id":"o%d","input":{"n":%d}}`+"\n", i, i)
	}
	return f.file("orders.jsonl", b.String())
}

// Bad lines are told by number, and the others go on; submitting the file again does no harm.
func TestSubmitFrom(t *testing.T) {
	t.Parallel()
	f := takingNode(t)
	file := f.file("orders.jsonl", strings.Join([]string{
		`{"id":"a","definition":"t/n:1.0.0","input":{"n":1},"order_key":"k","priority":7,"labels":{"x":"y"},"deadline":"1h"}`,
		``,
		`{"id":"b","input":{"n":2}}`,
		`{"id":"c","input":{"n":3}`,
		`{"id":"d","input":{"m":3}}`,
		`{"id":"e","inputs":{}}`,
		`{"input":{"n":1}}`,
		`{"id":"f","input":{"n":1},"id":"g"}`,
		`{"id":"h","ID":"i","input":{"n":1}}`,
		`{"id":"a/b","input":{"n":1}}`,
		`{"id":"j","input":{"n":1},"priority":"high"}`,
		`{"id":"k","input":{"n":1},"deadline":"soon"}`,
		`[1]`,
		`{"id":"b","input":{"n":2}}`,
		`{"id":"b","input":{"n":9}}`,
		`{"id":"l","input":{"n":1},"definition":"t/none"}`,
		`{"id":"m","input":{"n":1},"labels":{"x":"1","\u0078":"2"}}`,
		`{"id":"n","input":{"n":1},"labels":{"x":"` + "\xff" + `"}}`,
		`{"id":"z","input":{"n":2}}`, // without an end
	}, "\n"))
	submit := func(more ...string) outcome {
		return f.run(append([]string{"order", "submit", "--from", file, "--definition", "t/n", "--label", "from=file"}, more...)...)
	}
	got := submit()
	if got.status != exitError || got.stdout != "18 lines: 3 accepted, 1 accepted before, 14 refused\n" {
		t.Errorf("%+v", got)
	}
	for _, want := range []string{
		":4: is not one JSON value: column 25: unexpected end", ":5: bad request: order.input does not match", ":6: says inputs, which no order has: id, ",
		":7: has no id", `:8: names the property "id" twice: name it once`, ":9: says ID, which", `:10: id "a/b" has the byte`, `:11: priority is no whole number: "high"`,
		`:12: deadline "soon" is neither`, ":13: is no JSON object", ":15: ", ":16: ",
		`:17: names the property "x" twice at /labels: name it once`, ":18: is not valid UTF-8", "holdfast: 14 of 18 lines were refused\n",
	} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("%q is not told:\n%s", want, got.stderr)
		}
	}
	if strings.Count(got.stderr, "orders.jsonl:") != 14 {
		t.Errorf("told:\n%s", got.stderr)
	}
	if order := f.must("order", "get", "a", "-o", "json"); !strings.Contains(order, `"order_key":"k"`) || !strings.Contains(order, `"priority":7,"labels":{"x":"y"}`) {
		t.Errorf("a: %s", order)
	}
	if order := f.must("order", "get", "z", "-o", "json"); !strings.Contains(order, `"labels":{"from":"file"}`) {
		t.Errorf("z: %s", order)
	}
	if again := submit("-o", "json"); again.status != exitError ||
		!strings.HasSuffix(again.stdout, `{"lines":18,"accepted":0,"repeated":4,"refused":14}`+"\n") ||
		!strings.Contains(again.stdout, `{"line":6,"id":"e","reason":"BAD_LINE","message":"says inputs`) ||
		!strings.Contains(again.stdout, `{"line":16,"id":"l","reason":"NO_SUCH_DEFINITION","message":`) {
		t.Errorf("again: %+v", again)
	}
	for args, want := range map[string]string{
		"--id x": "--from excludes", "--wait": "--from excludes", "--input -": "--from excludes", "--priority 10": "--priority 10 is not", "--label x": "--label",
	} {
		if o := submit(strings.Fields(args)...); o.status != exitUsage || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: %+v", args, o)
		}
	}
	if o := f.run("order", "submit", "--from", file+".absent"); o.status != exitError || !strings.Contains(o.stderr, "no such file") {
		t.Errorf("no file: %+v", o)
	}
}

// A submission that is interrupted is repeated, and then all orders are there, once.
func TestSubmitFromGoesOn(t *testing.T) {
	t.Parallel()
	f := takingNode(t)
	const orders = 3000
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	text, err := os.ReadFile(f.orderFile(orders))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "all")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan outcome, 1)
	go func() {
		var out, notes strings.Builder
		status := run(ctx, &app{
			stdin: reader, stdout: &out, stderr: &notes, environ: func() []string { return f.environ }, terminal: noTerminal,
		}, []string{"order", "submit", "--from", "-", "--definition", "t/n"})
		stopped <- outcome{status, out.String(), notes.String()}
	}()
	half := strings.Index(string(text), `{"id":"o1500"`)
	if _, err := writer.Write(text[:half]); err != nil {
		t.Fatal(err)
	}
	for { // until the node has all that was written
		if o := f.run("order", "get", "o1499"); o.status == exitOK {
			break
		}
	}
	interrupt()
	_ = writer.Close()
	if o := <-stopped; o.status != exitError || !strings.Contains(o.stderr, "interrupted") || !strings.Contains(o.stderr, "Submit the file again") {
		t.Errorf("interrupted: %+v", o)
	}
	o := f.run("order", "submit", "--from", file, "--definition", "t/n", "-o", "json")
	var n bulkJSON
	if err := json.Unmarshal([]byte(o.stdout), &n); err != nil || o.status != exitOK || n != (bulkJSON{Lines: orders, Accepted: 1500, Repeated: 1500}) {
		t.Errorf("again: %+v, %v", o, err)
	}
}

// fakeStream answers submissions as a test tells it.
type fakeStream struct {
	mu   sync.Mutex
	seen map[string]int
	// answer is told how often an order was submitted before; a nil answer breaks the stream.
	answer func(id string, before int) *orderv1.Submission
}

func (s *fakeStream) serve(st grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error {
	for {
		m, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		out := &orderv1.SubmitStreamResponse{}
		for _, r := range m.GetSubmissions() {
			id := r.GetOrder().GetId()
			s.mu.Lock()
			before := s.seen[id]
			s.seen[id]++
			answer := s.answer(id, before)
			s.mu.Unlock()
			if answer == nil {
				return failed(codes.Unavailable, "stopping")
			}
			answer.Id = id
			out.Submissions = append(out.Submissions, answer)
		}
		if err := st.Send(out); err != nil {
			return err
		}
	}
}

func taken() *orderv1.Submission {
	return &orderv1.Submission{Answer: &orderv1.Submission_Accepted{Accepted: &orderv1.Accepted{}}}
}

func busy() *orderv1.Submission {
	return &orderv1.Submission{Answer: &orderv1.Submission_Refused{Refused: &orderv1.Refused{
		Code: int32(codes.ResourceExhausted), Reason: "BUSY", Message: "no room", RetryAfter: durationpb.New(time.Millisecond),
	}}}
}

// A node that is gone, or has no room, is asked again, until each order has its answer.
func TestSubmitFromAsksAgain(t *testing.T) {
	t.Parallel()
	f := setup(t)
	s := &fakeStream{seen: map[string]int{}}
	s.answer = func(id string, before int) *orderv1.Submission {
		switch {
		case id == "o700" && before < 3:
			return nil
		case strings.HasSuffix(id, "9") && before < 2:
			return busy()
		}
		return taken()
	}
	f.orders.stream = s.serve
	o := f.run("order", "submit", "--from", f.orderFile(1000), "--definition", "t/n")
	o.want(t, 0, "1000 lines: 1000 accepted, 0 accepted before, 0 refused\n", o.stderr)
	if strings.Count(o.stderr, "stopping (UNAVAILABLE): trying again\n") < 1 || strings.Count(o.stderr, "no room (BUSY): trying again\n") != 1 {
		t.Errorf("told:\n%s", o.stderr)
	}
	if len(s.seen) != 1000 {
		t.Errorf("%d orders were seen", len(s.seen))
	}
	f.orders.stream = func(grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error {
		return failed(codes.Unavailable, "stopping")
	}
	o = f.run("order", "submit", "--from", f.orderFile(10), "--definition", "t/n", "--reconnect", "1ns")
	if o.status != exitError || !strings.Contains(o.stderr, "gave up after 1ns (--reconnect)") || !strings.Contains(o.stderr, "Submit the file again") {
		t.Errorf("no node: %+v", o)
	}
}

// Orders of one key are accepted in the order of their lines, whichever of them a node has no room for at first.
func TestSubmitFromKeepsTheOrderOfKeys(t *testing.T) {
	t.Parallel()
	f := takingNode(t, "--client-rate", "500", "--client-burst", "20")
	f.must("definition", "deploy", f.file("f.yaml", "document: {dsl: '1.0.3', namespace: t, name: f, version: '1.0.0'}\n"+
		"do: [{a: {raise: {error: {type: 'https://example.com/boom', status: 500}}}}]\n"))
	f.run("order", "submit", "--definition", "t/f", "--id", "holder", "--key", "k", "--wait") // those behind it wait
	var lines strings.Builder
	want := []string{"holder"}
	for i := range 50 {
		fmt.Fprintf(&lines, `{"id":"other%d","input":{"n":1}}`+"\n", i)
		fmt.Fprintf(&lines, `{"id":"k%d","input":{"n":1},"order_key":"k"}`+"\n", i)
		want = append(want, fmt.Sprintf("k%d", i))
	}
	o := f.run("order", "submit", "--from", f.file("orders.jsonl", lines.String()), "--definition", "t/n")
	if o.stdout != "100 lines: 100 accepted, 0 accepted before, 0 refused\n" || !strings.Contains(o.stderr, "(CLIENT_RATE): trying again") {
		t.Errorf("%+v", o)
	}
	var got []string
	for waits := range strings.Lines(f.must("key", "show", "k", "--limit", "100", "-o", "json")) {
		var order struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal([]byte(waits), &order); err != nil {
			t.Fatal(err)
		}
		got = append(got, order.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("accepted in the order\n%v", got)
	}
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	long := `{"id":"a","input":"` + strings.Repeat("x", maxInput) + `"}`
	lines, ended := readLines(t.Context(), strings.NewReader(long+"\n"+`{"id":"b","definition":"t/n"}`+"\n"), &orderv1.WorkOrder{})
	var all []fileLine
	for chunk := range lines {
		all = append(all, chunk...)
	}
	<-ended
	if len(all) != 2 || all[0].err == nil || all[0].err.Error() != "the line has more than 16MiB" || all[1].err != nil || all[1].order.GetId() != "b" ||
		all[1].number != 2 {
		t.Errorf("%d lines: %v", len(all), all[0].err)
	}
}
