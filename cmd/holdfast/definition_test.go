package main

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const document = "document:\n  dsl: 1.0.3\t\x1b\n"

func deployed(version string) *definitionv1.Definition {
	return &definitionv1.Definition{
		Namespace: "telecom", Name: "activate", Version: version, Hash: []byte{0xab, 1}, DeployedAt: at(0), Title: "Activate",
		Activities: []string{"hss.create", "sms.send"},
	}
}

const definitionLine = `{"definition":"telecom/activate:1.0.0","title":"Activate","hash":"ab01","deployed_at":"2026-01-02T03:04:05.678Z",` +
	`"activities":["hss.create","sms.send"]`

func TestDefinitionList(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.definitions.list = func(r *definitionv1.ListRequest) (*definitionv1.ListResponse, error) {
		if r.GetNamespace() != "telecom" {
			return &definitionv1.ListResponse{}, nil
		}
		if r.GetPageToken() == "" {
			return &definitionv1.ListResponse{Definitions: []*definitionv1.Definition{deployed("1.0.0")}, NextPageToken: "x"}, nil
		}
		d := deployed("1.10.0")
		d.Retirement = &definitionv1.Retirement{At: at(1), By: "jane", Reason: "wrong"}
		return &definitionv1.ListResponse{Definitions: []*definitionv1.Definition{d}}, nil
	}
	f.run("definition", "list", "--namespace", "telecom").want(t, 0, ""+
		"DEFINITION               TITLE     DEPLOYED AT               RETIRED AT                ACTIVITIES\n"+
		"telecom/activate:1.0.0   Activate  2026-01-02T03:04:05.678Z                            hss.create, sms.send\n"+
		"telecom/activate:1.10.0  Activate  2026-01-02T03:04:05.678Z  2026-01-02T03:04:06.678Z  hss.create, sms.send\n", "")
	got := f.run("definition", "list", "--namespace", "telecom", "-o", "json")
	if lines := strings.Split(got.stdout, "\n"); len(lines) != 3 || lines[0] != definitionLine+"}" ||
		!strings.Contains(lines[1], `"retired":{"at":"2026-01-02T03:04:06.678Z","by":"jane","reason":"wrong"}`) {
		t.Errorf("%+v", got)
	}
	f.run("definition", "list", "-o", "json").want(t, 0, "", "")
}

func TestDefinitionGet(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.definitions.get = func(r *definitionv1.GetRequest) (*definitionv1.GetResponse, error) {
		d := deployed("1.0.0")
		d.Document = []byte(document)
		if r.GetDefinition() != "telecom/activate" {
			d = nil
		}
		return &definitionv1.GetResponse{Definition: d}, nil
	}
	f.run("definition", "get", "telecom/activate").want(t, 0, document, "")
	f.run("definition", "get", "telecom/activate", "-o", "json").want(t, 0,
		definitionLine+`,"document":"document:\n  dsl: 1.0.3\t\u001b\n"}`+"\n", "")
	f.width = 80
	f.run("definition", "get", "telecom/activate").want(t, 0, "document:\n  dsl: 1.0.3\t\\x1b\n", "")
}

// TestDefinitionValidate: the node is not asked: it serves no Validate.
func TestDefinitionValidate(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const head = "document: {dsl: '1.0.3', namespace: telecom, name: activate, version: '1.0.0'}\ndo:\n"
	good := f.file("good.yaml", head+"- a: {set: {x: 1}}\n")
	doubtful := f.file("doubtful.yaml", head+"- a: {set: {x: .id}}\n")
	bad := f.file("bad.yaml", head+"- a: {set: {x: .id}, then: b}\n")
	const can = ": telecom/activate:1.0.0 can be deployed\n"
	warning := `:3:16: warning: /do/0/a/set/x: "x" is the text ".id": if the expression is meant, write ${ .id }` + "\n"
	mistake := `:3:28: error: /do/0/a/then: there is no task "b" in this list, and only tasks of the same list can be next: ` +
		`expected "continue", "exit", "end" or "a"` + "\n"
	f.run("definition", "validate", good).want(t, 0, good+can, "")
	f.run("definition", "validate", doubtful, good).want(t, 0, doubtful+warning+doubtful+can+good+can, "")
	f.run("definition", "validate", "--strict", doubtful, good).want(t, 1, doubtful+warning+good+can,
		"holdfast: "+doubtful+" has warnings: 1\n")
	f.run("definition", "validate", bad, good).want(t, 1, bad+warning+bad+mistake+good+can, "holdfast: "+bad+" has mistakes: 1\n")
	f.stdin = head + "- a: {sett: {}}\n- b: {set: {x: $input}}\n"
	f.run("definition", "validate", "-", "-o", "json").want(t, 1, `{"file":"-","definition":"","valid":false,`+
		`"mistakes":[{"severity":"error","line":3,"column":7,"path":"/do/0/a/sett",`+
		`"message":"there is no task of the kind \"sett\": did you mean \"set\"?"}],`+
		`"warnings":[{"severity":"warning","line":4,"column":16,"path":"/do/1/b/set/x",`+
		`"message":"\"x\" is the text \"$input\": if the expression is meant, write ${ $input }"}]}`+"\n", "holdfast: - has mistakes: 1\n")
}

func TestDefinitionDeploy(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.definitions.deploy = func(r *definitionv1.DeployRequest) (*definitionv1.DeployResponse, error) {
		switch string(r.GetDocument()) {
		case "strict":
			return nil, failed(codes.InvalidArgument, fmt.Sprintf("strict: %t", r.GetStrict()))
		case "taken":
			return nil, failed(codes.AlreadyExists, "version 1.0.0 has another document")
		case "bad":
			return nil, failed(codes.InvalidArgument, "the document has mistakes", &errdetails.BadRequest{
				FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "/do/0", Description: "line 3: unknown key"}},
			})
		}
		return &definitionv1.DeployResponse{
			Definition: deployed("1.0.0"), Warnings: []*definitionv1.Mistake{
				{Line: 2, Message: "no adapter offers sms.send", Severity: definitionv1.Severity_SEVERITY_WARNING},
			},
		}, nil
	}
	good, taken, bad := f.file("good.yaml", "good"), f.file("taken.yaml", "taken"), f.file("bad.yaml", "bad")
	f.run("definition", "deploy", good).want(t, 0, "telecom/activate:1.0.0\n", good+":2: warning: no adapter offers sms.send\n")
	f.run("definition", "deploy", good, "-o", "json").want(t, 0,
		definitionLine+`,"warnings":[{"severity":"warning","line":2,"column":0,"path":"","message":"no adapter offers sms.send"}]}`+"\n", "")
	strict := f.file("strict.yaml", "strict")
	f.run("definition", "deploy", "--strict", strict).want(t, 1, "", "holdfast: "+strict+": strict: true (INVALID_ARGUMENT)\n")
	f.run("definition", "deploy", taken, bad).want(t, 1, "",
		"holdfast: "+taken+": version 1.0.0 has another document (ALREADY_EXISTS)\nGive the changed document a new version.\n"+
			"holdfast: "+bad+": the document has mistakes (INVALID_ARGUMENT)\n  /do/0: line 3: unknown key\n")
}

// TestDefinitionResources: what a definition refers to is taken from the file that is named, or fetched, and deployed with it.
func TestDefinitionResources(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const address = "http://127.0.0.1:1/openapi.yaml"
	file := f.file("d.yaml", "document: {dsl: '1.0.3', namespace: telecom, name: activate, version: '1.0.0'}\ndo:\n- a:\n    call: openapi\n"+
		"    with: {document: {endpoint: '"+address+"'}, operationId: find}\n")
	found := f.file("openapi.yaml", "openapi: 3.0.0\nservers: [{url: 'https://pets.example/'}]\npaths: {/x: {get: {operationId: find}}}\n")
	check := func(document []byte) []*definitionv1.Mistake {
		_, mistakes := definition.Check(document, definition.Limits{})
		return mistakes
	}
	f.definitions.validate = func(r *definitionv1.ValidateRequest) (*definitionv1.ValidateResponse, error) {
		return &definitionv1.ValidateResponse{Mistakes: check(r.GetDocument())}, nil
	}
	f.definitions.deploy = func(r *definitionv1.DeployRequest) (*definitionv1.DeployResponse, error) {
		if mistakes := check(r.GetDocument()); len(mistakes) > 0 {
			return nil, failed(codes.InvalidArgument, mistakes[0].GetMessage())
		}
		return &definitionv1.DeployResponse{Definition: deployed("1.0.0")}, nil
	}
	f.run("definition", "deploy", file, "--resource", address+"="+found).want(t, 0, "telecom/activate:1.0.0\n", "")
	f.run("definition", "validate", file, "--resource", address+"="+found).want(t, 0, file+": telecom/activate:1.0.0 can be deployed\n", "")
	for _, command := range []string{"deploy", "validate"} {
		if o := f.run("definition", command, file); o.status != 1 || !strings.Contains(o.stderr, address) {
			t.Errorf("%s: %+v", command, o)
		}
		if o := f.run("definition", command, file, "--resource", found); o.status != 2 || !strings.Contains(o.stderr, "ADDRESS=FILE") {
			t.Errorf("%s: %+v", command, o)
		}
	}
}

func TestDefinitionRetire(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.definitions.retire = func(r *definitionv1.RetireRequest) (*definitionv1.RetireResponse, error) {
		if r.GetDefinition() != "telecom/activate:1.0.0" || r.GetReason() != "wrong" || r.GetBy() != "jane" {
			t.Errorf("asked for %v", r)
		}
		d := deployed("1.0.0")
		d.Retirement = &definitionv1.Retirement{At: at(1), By: "jane", Reason: "wrong"}
		return &definitionv1.RetireResponse{Definition: d}, nil
	}
	f.definitions.reinstate = func(r *definitionv1.ReinstateRequest) (*definitionv1.ReinstateResponse, error) {
		if r.GetDefinition() == "telecom/activate:3.0.0" {
			return nil, failed(codes.NotFound, "definition is not deployed")
		}
		return &definitionv1.ReinstateResponse{Definition: deployed("1.0.0")}, nil
	}
	const ref = "telecom/activate:1.0.0"
	f.run("definition", "retire", ref, "--reason", "wrong", "--by", "jane").want(t, 0, ref+"  is retired\n", "")
	f.run("definition", "retire", ref, "--reason", "wrong", "--by", "jane", "-o", "json").want(t, 0,
		definitionLine+`,"retired":{"at":"2026-01-02T03:04:06.678Z","by":"jane","reason":"wrong"}}`+"\n", "")
	f.run("definition", "reinstate", ref).want(t, 0, ref+"  is in use\n", "")
	f.run("definition", "reinstate", "telecom/activate:3.0.0").want(t, 1, "", "holdfast: definition is not deployed (NOT_FOUND)\n")
	for _, wrong := range []string{"telecom/activate", "telecom/activate:latest", "activate"} {
		if got := f.run("definition", "retire", wrong); got.status != exitUsage {
			t.Errorf("retire %s: %+v", wrong, got)
		}
	}
}

func TestDefinitionRemove(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.definitions.remove = func(r *definitionv1.RemoveRequest) (*definitionv1.RemoveResponse, error) {
		if r.GetDefinition() == "telecom/activate:3.0.0" {
			return nil, failed(codes.FailedPrecondition, "1 order that has not ended runs it: a")
		}
		d := deployed("1.0.0")
		d.Retirement = &definitionv1.Retirement{At: at(1), By: "jane", RemovedAt: at(2)}
		return &definitionv1.RemoveResponse{Definition: d}, nil
	}
	const ref = "telecom/activate:1.0.0"
	f.run("definition", "remove", ref).want(t, 0, ref+"  is removed\n", "")
	f.run("definition", "remove", ref, "-o", "json").want(t, 0,
		definitionLine+`,"retired":{"at":"2026-01-02T03:04:06.678Z","by":"jane","reason":"","removedAt":"2026-01-02T03:04:07.678Z"}}`+"\n", "")
	f.run("definition", "remove", "telecom/activate:3.0.0").want(t, 1, "",
		"holdfast: 1 order that has not ended runs it: a (FAILED_PRECONDITION)\n")
	if got := f.run("definition", "remove", "telecom/activate"); got.status != exitUsage {
		t.Errorf("remove without a version: %+v", got)
	}
}

func TestCompletions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.definitions.list = func(*definitionv1.ListRequest) (*definitionv1.ListResponse, error) {
		return &definitionv1.ListResponse{Definitions: []*definitionv1.Definition{deployed("1.0.0"), deployed("2.0.0")}}, nil
	}
	f.orders.list = func(*orderv1.ListRequest) (*orderv1.ListResponse, error) {
		return &orderv1.ListResponse{Orders: []*orderv1.Order{running()}}, nil
	}
	for args, want := range map[string]string{
		"order get 0190": orderID + "\trunning telecom/activate:1.0.0\n:4\n",
		"order get x":    ":4\n",
		"order get a b":  ":4\n",
		"order submit --definition telecom/activate:2": "telecom/activate:2.0.0\tActivate\n:4\n",
		"definition get telecom/activate:1":            "telecom/activate:1.0.0\tActivate\n:4\n",
		"order get --server 127.0.0.1:1 0190":          ":4\n",
		"order list --status c":                        strings.Join(statusWords(), "\n") + "\n:4\n",
		"--output j":                                   "table\njson\n:4\n",
		"definition deploy ":                           "yaml\nyml\njson\n:8\n",
	} {
		words := strings.Split(args, " ")
		got := f.run(append([]string{"__complete"}, words...)...)
		if got.status != 0 || got.stdout != want {
			t.Errorf("%s: %+v\nwant %q", args, got, want)
		}
	}
}
