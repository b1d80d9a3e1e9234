package holdfast_test

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// rules says who may import whom. The longest folder that holds a package decides; "x/..." stands for x and all below.
// Test files may import more, but a cycle of layers is wrong even there.
var rules = []rule{
	{dir: ".", product: nil},
	{dir: "messages", product: []string{"messages/..."}},
	{dir: "actors/workflow", product: []string{"messages/..."}, tests: []string{"actors/definition"}},
	{dir: "actors/definition", product: []string{"actors/workflow", "messages/..."}},
	{dir: "actors/dispatch", product: []string{"messages/..."}},
	{dir: "actors/share", product: []string{"messages"}},
	{
		dir: "actors/catalog", product: []string{"actors/workflow", "actors/definition", "persistence", "messages/..."},
		tests: []string{"persistence/..."},
	},
	{dir: "actors/slot", product: []string{"actors/workflow", "persistence/rows", "messages/..."}},
	{dir: "actors/schedule", product: []string{"actors/workflow", "persistence/rows", "messages/..."}, tests: []string{"actors/definition"}},
	{dir: "actors/rehearsal", product: []string{"actors/workflow", "actors/definition", "actors/slot", "messages/..."}},
	{dir: "actors/history", product: []string{"actors/workflow", "persistence", "messages/..."}},
	{dir: "actors/audit", product: []string{"messages/..."}},
	{
		dir: "actors/audit/recorder", product: []string{"actors/audit", "persistence", "messages/..."}, tests: []string{"persistence/..."},
	},
	{dir: "actors/runtime", product: []string{"supervision", "messages"}},
	{
		dir:     "actors/failure",
		product: []string{"actors/workflow", "actors/catalog", "actors/runtime", "actors/schedule", "actors/slot", "persistence", "messages/..."},
	},
	{dir: "actors/post", product: []string{"actors/failure", "actors/runtime", "supervision", "messages/..."}},
	{
		dir: "actors/order",
		product: []string{
			"actors/workflow", "actors/definition", "actors/catalog", "actors/history", "actors/failure", "actors/runtime", "persistence",
			"persistence/rows", "supervision", "messages/...",
		},
	},
	{
		dir:     "actors/instance",
		product: []string{"actors/failure", "actors/order", "actors/runtime", "persistence", "persistence/rows", "messages/..."},
	},
	{
		dir: "actors/event",
		product: []string{
			"actors/definition", "actors/failure", "actors/instance", "actors/order", "actors/runtime", "actors/slot", "actors/workflow", "messages/...",
		},
	},
	{
		dir: "actors/scheduler",
		product: []string{
			"actors/failure", "actors/instance", "actors/order", "actors/runtime", "actors/schedule", "actors/workflow", "messages/...",
		},
	},
	{
		dir:     "actors/partition",
		product: []string{"actors/order", "actors/failure", "actors/runtime", "persistence", "supervision", "messages/..."},
	},
	{
		dir: "actors/activity",
		product: []string{
			"actors/dispatch", "actors/share", "actors/failure", "actors/runtime", "persistence", "supervision", "messages/...",
		},
	},
	{dir: "actors/view", product: []string{
		"actors/failure", "actors/history", "actors/runtime", "actors/workflow", "persistence", "supervision", "messages/...",
	}},
	{
		dir:     "actors",
		product: []string{"actors/...", "persistence", "supervision", "messages/..."},
		tests:   []string{"persistence/...", "cluster", "adapters/adaptertest"},
	},
	{dir: "actors/access", product: []string{"messages/...", "tokens"}},
	{
		dir: "actors/gateway",
		product: []string{
			"actors", "actors/access", "actors/activity", "actors/audit", "actors/audit/recorder", "actors/catalog", "actors/failure",
			"actors/runtime", "actors/view", "messages/...",
		},
		tests: []string{"actors/...", "persistence/...", "supervision", "cluster", "adapters/adaptertest", "tokens"},
	},
	{dir: "supervision", product: []string{"messages/..."}},
	{dir: "connections", product: nil},
	{dir: "tokens", product: nil, tests: []string{"certificates/..."}},
	{dir: "tokens/login", product: []string{"tokens"}},
	{dir: "certificates", product: nil, tests: []string{"certificates/..."}},
	{dir: "certificates/certificatetest", product: []string{"certificates"}},
	{dir: "cluster", product: []string{"cluster/...", "messages/...", "supervision"}},
	{dir: "cluster/consul", product: []string{"messages/...", "supervision"}},
	{dir: "cluster/placement", product: []string{"messages"}},
	{dir: "cluster/topology", product: []string{"messages"}},
	{
		dir: "cluster/remoting", product: []string{"certificates", "messages/...", "supervision"},
		tests: []string{"certificates/certificatetest"},
	},
	{dir: "persistence/rows", product: []string{"messages/..."}},
	{dir: "persistence/clock", product: nil},
	{
		dir: "persistence", product: []string{"persistence", "persistence/clock", "persistence/rows", "persistence/lane", "messages/..."},
		tests: []string{"persistence/..."},
	},
	{dir: "persistence/postgres/pgserver", product: nil},
	{
		dir: "adapters", product: []string{"adapters/...", "certificates", "tokens", "messages/...", "supervision"},
		tests: []string{"certificates/certificatetest"},
	},
	{dir: "client", product: []string{"client/...", "certificates", "tokens", "messages/..."}, tests: []string{"certificates/certificatetest"}},
	{dir: "console", product: []string{"client/...", "messages/..."}},
	{dir: "console/graph", product: []string{"messages"}, tests: []string{"actors/definition"}},
	{dir: "cmd", product: []string{"..."}},
	{
		dir:     "scenarios",
		product: []string{"scenarios/...", "client/...", "adapters/...", "messages/...", "supervision", "persistence/postgres/pgserver"},
		tests:   []string{"actors/definition"},
	},
	{dir: "scenarios/simulation", product: []string{"..."}},
}

// pure packages are step functions: they do no I/O, know no clock but the one in their input, and start nothing.
var pure = []string{
	"actors/workflow", "actors/slot", "actors/schedule", "actors/rehearsal", "actors/dispatch", "actors/share", "actors/audit",
	"adapters/ledger", "cluster/lease", "cluster/placement", "cluster/topology", "console/graph", "persistence/clock",
}

// impureImports can't be imported by pure packages, nor what is below them.
var impureImports = []string{
	"context", "crypto/rand", "io/fs", "io/ioutil", "log", "math/rand", "net", "os", "sync", "syscall",
	"google.golang.org/grpc", "github.com/asynkron/protoactor-go",
}

// impureNames can't be used by pure packages: they read a clock, or draw random numbers.
var impureNames = map[string][]string{
	"time":                   {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
	module + "/messages":     {"NewOrderID", "NewHandle"},
	"github.com/google/uuid": {"New", "NewString", "NewUUID", "NewRandom", "NewV6", "NewV7"},
}

// testPackages are imported by tests alone, so they may import testing.
var testPackages = []string{"journaltest", "adaptertest", "certificatetest"}

// emptyNames say nothing about what a package is for.
var emptyNames = []string{
	"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "shared", "types",
}

// maxLines bounds a source file. longFiles are the exceptions, each with its reason.
const maxLines = 500

var longFiles = map[string]string{}

func TestLayout(t *testing.T) {
	t.Parallel()
	tree := os.DirFS(".")
	findings, err := check(tree, longFiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Error(f)
	}
}

// TestCheck shows that each rule finds what it is there for, and nothing else.
func TestCheck(t *testing.T) {
	t.Parallel()
	const doc = "// Package p is for something.\npackage p\n"
	long := "package p\n" + strings.Repeat("\n", maxLines)
	tests := map[string]struct {
		files map[string]string
		long  map[string]string
		want  []string // parts of the findings, in their order
	}{
		"all is well": {files: map[string]string{
			"actors/doc.go":             doc,
			"actors/a.go":               code(`"context"`, `"time"`, own("persistence"), own("messages/orderv1")) + "var _ = time.Now\n",
			"actors/a_test.go":          code(`"testing"`, own("persistence/pebble"), own("actors")),
			"actors/workflow/doc.go":    doc,
			"actors/workflow/a.go":      code(`"time"`) + "func f(t time.Time) time.Time { return t.Add(time.Second) }\n",
			"actors/workflow/a_test.go": code(`"os"`, `"time"`) + "var _ = time.Now\n",
			"messages/orderv1/o.pb.go":  "// Code generated by protoc-gen-go. DO NOT EDIT.\n\n" + long,
			"cmd/holdfast/main.go":      "package main\nimport " + own("persistence/pebble") + "\n",
			"adapters/testdata/x.go":    "package util\n",
			"sdk/go.mod":                "module sdk\n",
			"sdk/x.go":                  "package util\n",
		}},
		"wrong layer": {
			files: map[string]string{"adapters/doc.go": doc, "adapters/a.go": code(own("actors"))},
			want:  []string{"adapters/a.go:3: adapters must not import actors"},
		},
		"wrong layer in a test": {
			files: map[string]string{"adapters/doc.go": doc, "adapters/a_test.go": code(own("actors"))},
			want:  []string{"adapters/a_test.go:3: adapters must not import actors"},
		},
		"a test's import in product code": {
			files: map[string]string{"actors/doc.go": doc, "actors/a.go": code(own("persistence/pebble"))},
			want:  []string{"must not import persistence/pebble"},
		},
		"import of a command": {
			files: map[string]string{"scenarios/simulation/doc.go": doc, "scenarios/simulation/a.go": code(own("cmd/holdfast"))},
			want:  []string{"scenarios/simulation/a.go:3: nobody imports cmd/holdfast"},
		},
		"unknown folder": {
			files: map[string]string{"stuff/doc.go": doc},
			want:  []string{"stuff: no rule says what it may import"},
		},
		"impure imports": {
			files: map[string]string{
				"actors/dispatch/doc.go": doc,
				"actors/dispatch/a.go":   code(`"context"`, `r "math/rand/v2"`, `"os/signal"`, `"sync/atomic"`),
			},
			want: []string{`:3: pure package imports "context"`, `"math/rand/v2"`, `"os/signal"`, `"sync/atomic"`},
		},
		"impure calls": {
			files: map[string]string{
				"actors/workflow/doc.go": doc,
				"actors/workflow/a.go": code(`clock "time"`, own("messages")) +
					"var now = clock.Now\nvar id = messages.NewOrderID()\nfunc f() { go f() }\n",
			},
			want: []string{":6: pure package uses time.Now", ":7: pure package uses messages.NewOrderID", ":8: pure package starts"},
		},
		"sleep": {
			files: map[string]string{"actors/doc.go": doc, "actors/a.go": code(`"time"`) + "func f() { time.Sleep(1) }\n"},
			want:  []string{"actors/a.go:5: time.Sleep outside of a test"},
		},
		"dot import": {
			files: map[string]string{"actors/doc.go": doc, "actors/a.go": code(`. "time"`)},
			want:  []string{"actors/a.go:3: dot import"},
		},
		"testing in product code": {
			files: map[string]string{
				"persistence/doc.go": doc, "persistence/a.go": code(`"testing/synctest"`),
				"persistence/journaltest/doc.go": doc, "persistence/journaltest/a.go": code(`"testing"`),
			},
			want: []string{`persistence/a.go:3: imports "testing/synctest"`},
		},
		"no doc.go": {
			files: map[string]string{"supervision/a.go": code()},
			want:  []string{"supervision: no doc.go"},
		},
		"empty doc.go": {
			files: map[string]string{"supervision/doc.go": "package supervision\n"},
			want:  []string{"supervision/doc.go:1: has no package comment"},
		},
		"empty name": {
			files: map[string]string{"actors/util/doc.go": "// Package util has it all.\npackage util\n"},
			want:  []string{"actors/util/doc.go:2: the name util says nothing"},
		},
		"long file": {
			files: map[string]string{"actors/doc.go": doc, "actors/a.go": long, "actors/b.go": long},
			long:  map[string]string{"actors/b.go": "a table", "actors/doc.go": "was long once", "gone.go": "was here once"},
			want: []string{
				"actors/a.go:1: has 501 lines, more than 500", "actors/doc.go: is listed as a long file, but", "gone.go: is listed",
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := fstest.MapFS{}
			for name, text := range tt.files {
				tree[name] = &fstest.MapFile{Data: []byte(text), Mode: fs.ModePerm}
			}
			got, err := check(tree, tt.long)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(got, tt.want, strings.Contains) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// code is a file that imports, one line each from line 3 on.
func code(imports ...string) string {
	return "package p\nimport (\n" + strings.Join(imports, "\n") + "\n)\n"
}

func own(path string) string { return `"` + module + "/" + path + `"` }
