package gateway_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// What bounds the answer of each call is on the page for operators.
func TestEachAnswerIsBounded(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		for _, g := range []*grpc.Server{n.grpc, n.server.AdminGRPC()} {
			for name, service := range g.GetServiceInfo() {
				for _, method := range service.Methods {
					short := name[strings.LastIndexByte(name, '.')+1:]
					if call := fmt.Sprintf("`%s.%s`", strings.TrimSuffix(short, "Service"), method.Name); !strings.Contains(string(page), call) {
						t.Errorf("docs/operations.md does not say what bounds the answer of %s", call)
					}
				}
			}
		}
	})
}

// Orders with many labels, definitions with many activities and activities with reasons fill a page by their bytes.
func TestLargeLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Duration(listed.Add(1)) * 5 * 365 * 24 * time.Hour) // as TestList does
		n := start(t)
		began := time.Now()
		def := n.deploy("nothing", "1.0.0", nothing)
		const orders = 300
		for i := range orders {
			o := &orderv1.WorkOrder{Id: fmt.Sprintf("o%03d", i), Definition: def, Labels: map[string]string{}}
			for l := range 16 {
				o.Labels[fmt.Sprintf("%d-%s", l, strings.Repeat("n", 60))] = strings.Repeat("v", 256)
			}
			n.submit(o, accepted)
		}
		var ids []string
		pages := 0
		for r := (&orderv1.ListRequest{PageSize: 1000}); ; pages++ {
			page, err := n.orders.List(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if size := proto.Size(page); size > pageBytes {
				t.Errorf("a page of orders has %d bytes", size)
			}
			for _, o := range page.GetOrders() {
				if !o.GetAcceptedAt().AsTime().Before(began) {
					ids = append(ids, o.GetId())
				}
			}
			if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
				break
			}
		}
		if pages < 1 || len(ids) != orders || ids[0] != "o299" || ids[orders-1] != "o000" {
			t.Errorf("%d orders on %d pages: %v", len(ids), pages+1, ids)
		}

		// The name of a definition is in its reference, a page after another also when one is deployed meanwhile.
		var many []string
		for i := range 900 {
			many = append(many, fmt.Sprintf("- a%d: {call: '%s.x%d'}", i, strings.Repeat("y", 55), i))
		}
		for i := range 25 {
			n.deploy(fmt.Sprintf("many%02d", i), "1.0.0", "do:\n"+strings.Join(many, "\n"))
		}
		var names []string
		for r := (&definitionv1.ListRequest{PageSize: 1000}); ; {
			page, err := n.definitions.List(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if size := proto.Size(page); size > pageBytes {
				t.Errorf("a page of definitions has %d bytes", size)
			}
			for _, d := range page.GetDefinitions() {
				names = append(names, d.GetName())
			}
			if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
				break
			}
			n.deploy("before", fmt.Sprintf("1.0.%d", len(names)), nothing)
		}
		if len(names) != 26 || names[0] != "many00" || names[24] != "many24" || names[25] != "nothing" {
			t.Errorf("definitions are %v", names)
		}

		for i := range 700 {
			if _, err := n.admin.LimitActivity(t.Context(), &adminv1.LimitActivityRequest{
				Activity: fmt.Sprintf("x.y%03d", i), Concurrency: 1, By: strings.Repeat("b", 1000), Reason: strings.Repeat("r", 1000),
			}); err != nil {
				t.Fatal(err)
			}
		}
		names = nil
		for r := (&adminv1.ListActivitiesRequest{}); ; {
			page, err := n.admin.ListActivities(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if size := proto.Size(page); size > pageBytes {
				t.Errorf("a page of activities has %d bytes", size)
			}
			for _, a := range page.GetActivities() {
				names = append(names, a.GetActivity())
			}
			if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
				break
			}
		}
		if len(names) != 700 || names[0] != "x.y000" || names[699] != "x.y699" {
			t.Errorf("%d activities: %v", len(names), names)
		}
		_, err := n.admin.ListActivities(t.Context(), &adminv1.ListActivitiesRequest{PageSize: 1001, PageToken: "!"})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "page_size", "page_token")
	})
}

// What an error says is metadata, of which not every client takes much.
func TestErrorsAreShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		var tasks []string
		for i := range 200 {
			tasks = append(tasks, fmt.Sprintf("{%q: {%q: 1}}", fmt.Sprint(strings.Repeat("t", 1000), i), strings.Repeat("n", 1000)))
		}
		doc := fmt.Appendf(nil, `{"document": {"dsl": "1.0.3", "namespace": "test", "name": "x", "version": "1.0.0"}, "do": [%s]}`, strings.Join(tasks, ","))
		_, err := n.definitions.Deploy(t.Context(), &definitionv1.DeployRequest{Document: doc})
		r := refusalOf(t, err)
		if size := proto.Size(status.Convert(err).Proto()); size > 5<<10 || r.reason != "BAD_DEFINITION" || r.fields[len(r.fields)-1] != "…" {
			t.Errorf("an error of %d bytes: %v", size, r)
		}
		answer, err := n.definitions.Validate(t.Context(), &definitionv1.ValidateRequest{Document: doc})
		if err != nil || proto.Size(answer) > pageBytes || len(answer.GetMistakes()) < 100 {
			t.Errorf("an answer of %d bytes with %d mistakes, %v: %v", proto.Size(answer), len(answer.GetMistakes()), err, answer.GetMistakes()[0])
		}
		_, err = n.orders.Get(t.Context(), &orderv1.GetRequest{Id: strings.Repeat("i", 100_000)})
		if size := proto.Size(status.Convert(err).Proto()); err == nil || size > 5<<10 {
			t.Errorf("an error of %d bytes", size)
		}
	})
}
