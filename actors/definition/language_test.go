package definition

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
)

// TestLanguage compiles every example of the page about the language: a whole document as it is, a part of one within a document that says
// no more than is needed. None is warned of.
func TestLanguage(t *testing.T) {
	t.Parallel()
	blocks := yamlBlocks(readPage(t))
	if len(blocks) < 30 {
		t.Errorf("docs/language.md has only %d examples", len(blocks))
	}
	for _, block := range blocks {
		whole, err := messages.WithResources([]byte(fragment(t, block.text, known)), elsewhereForTests)
		if err != nil {
			t.Fatal(err)
		}
		_, found := Check(whole, Limits{})
		for _, m := range found {
			t.Errorf("docs/language.md:%d: %s: %s\n%s", block.line, m.GetPath(), m.GetMessage(), block.text)
		}
	}
}

// constructName finds the names of constructs in the page: properties from the outside in, and perhaps the text of the last.
var constructName = regexp.MustCompile("`([a-zA-Z.]+(?:: [a-z0-9]+)?)`")

// TestConstructs: each construct that the page names stands in an example of the section that its row refers to, and the page names all
// that the compiler knows.
func TestConstructs(t *testing.T) {
	t.Parallel()
	page := readPage(t)
	blocks := yamlBlocks(page)
	named := make(map[string]bool)
	_, tables, _ := strings.Cut(page, "## What there is\n")
	tables, _, _ = strings.Cut(tables, "\n### ")
	for line := range strings.SplitSeq(tables, "\n") {
		cells := strings.Split(line, " | ")
		if len(cells) < 3 || !strings.HasPrefix(line, "| `") {
			continue
		}
		_, section, refers := strings.Cut(cells[len(cells)-1], "](#")
		section, _, _ = strings.Cut(section, ")")
		for _, found := range constructName.FindAllStringSubmatch(cells[0], -1) {
			named[found[1]] = true
			if refers && !slices.ContainsFunc(blocks, func(b block) bool { return anchor(b.heading) == section && b.has(t, found[1]) }) {
				t.Errorf("the section #%s has no example of %s", section, found[1])
			}
		}
	}
	for _, name := range allConstructs() {
		if !named[name] {
			t.Errorf("docs/language.md does not name %s", name)
		}
	}
}

// allConstructs are those that the compiler knows, as far as it has them in tables.
func allConstructs() (all []string) {
	for _, k := range constructs {
		if all = append(all, k.name); k.name == "run" {
			all = slices.Delete(all, len(all)-1, len(all)) // what is run has a row
		}
		for _, name := range k.extensions {
			all = append(all, "holdfast."+name)
		}
	}
	for _, name := range protocols {
		all = append(all, "call: "+name)
	}
	all = append(all, "run.shell", "run.script", "run.container", "run.workflow")
	return append(all, common...)
}

// anchor is how a page refers to one of its sections.
func anchor(heading string) string {
	return strings.ReplaceAll(strings.ToLower(heading), " ", "-")
}

// has tells whether a construct stands in an example.
func (b block) has(tb testing.TB, construct string) bool {
	tb.Helper()
	path, text, _ := strings.Cut(construct, ": ")
	return slices.ContainsFunc(parsed(tb, b.text).inside(), func(n *node) bool {
		for step := range strings.SplitSeq(path, ".") {
			if n = n.get(step); n == nil {
				return false
			}
		}
		return text == "" || n.text == text
	})
}

// readPage returns the page about the language.
func readPage(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "language.md"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// block is an example in a page.
type block struct {
	// line is that of the page where it begins, heading the last one above.
	line          int
	heading, text string
}

// yamlBlocks returns the examples in YAML of a page.
func yamlBlocks(page string) (all []block) {
	heading, begun := "", ""
	var b block
	for i, line := range strings.Split(page, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case begun == "" && strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(line, "# ")
		case begun == "" && strings.HasPrefix(trimmed, "```"):
			begun, b = trimmed, block{line: i + 2, heading: heading}
		case begun != "" && trimmed == "```":
			if begun == "```yaml" {
				all = append(all, b)
			}
			begun = ""
		case begun != "":
			b.text += line + "\n"
		}
	}
	return all
}

// fragment makes a whole document of a part of one: a list is its tasks, an object has some of its properties. What the part lacks is added;
// so is what it lacks of more, a document, too.
func fragment(tb testing.TB, text string, more *node) string {
	tb.Helper()
	root := parsed(tb, text)
	if root.kind == listKind {
		do := root
		root = &node{kind: objectKind}
		root.keys = append(root.keys, key{name: "do"})
		root.add(do)
	}
	if root.get("do") != nil && root.get("document").get("dsl") != nil {
		return text
	}
	least := parsed(tb, "document: {dsl: '1.0.3', namespace: test, name: fragment, version: '1.0.0'}\ndo: [{nothing: {set: {a: 1}}}]\n")
	root.complete(least)
	if more != nil {
		root.complete(more)
	}
	return root.asJSON()
}

// complete adds what an object lacks that another one has, and what it lacks in its properties "document" and "use".
func (n *node) complete(from *node) {
	for i, k := range from.keys {
		switch own := n.get(k.name); {
		case own == nil:
			n.keys = append(n.keys, k)
			n.add(from.items[i].copied())
		case k.name == "document" || k.name == "use":
			own.complete(from.items[i])
		}
	}
}

// copied returns a copy of a node, as far as encode needs it.
func (n *node) copied() *node {
	out := &node{kind: n.kind, text: n.text, name: n.name, keys: slices.Clone(n.keys)}
	for _, item := range n.items {
		out.items = append(out.items, item.copied())
	}
	return out
}

// inside returns a node and all nodes in it.
func (n *node) inside() []*node {
	all := []*node{n}
	for _, item := range n.items {
		all = append(all, item.inside()...)
	}
	return all
}

// parsed reads a document.
func parsed(tb testing.TB, text string) *node {
	tb.Helper()
	var m mistakes
	root := m.parse([]byte(text), Limits{}.WithDefaults())
	if root == nil {
		tb.Fatalf("%v in %s", m.list, text)
	}
	return root
}

// asJSON writes a node.
func (n *node) asJSON() string {
	var b, indented bytes.Buffer
	n.encode(&b)
	if json.Indent(&indented, b.Bytes(), "", " ") != nil {
		return b.String()
	}
	return indented.String()
}

// known is what examples refer to that don't show it.
var known = func() *node {
	return new(mistakes).parse([]byte("use:\n  secrets: [billingToken]\n  authentications: {stock: {basic: {username: shop, password: none}}}\n"),
		Limits{}.WithDefaults())
}()

// elsewhereForTests is what examples refer to by addresses.
var elsewhereForTests = map[string][]byte{
	"https://raw.githubusercontent.com/example/catalog/main/functions/log/1.0.0/function.yaml": []byte("call: log.write\n"),
	"https://example.com/functions/check.yaml":                                                 []byte("set: {checked: true}\n"),
	"https://example.com/schemas/order.json":                                                   []byte(`{"type": "object"}`),
	"https://example.com/report.py":                                                            []byte("print(1)\n"),
	"https://petstore.example.com/v2/swagger.json": []byte("swagger: '2.0'\nhost: petstore.example.com\npaths:\n  /pet/findByStatus:\n" +
		"    get: {operationId: findPetsByStatus, parameters: [{name: status, in: query, type: string}]}\n"),
	"https://shop.example.com/asyncapi.json": []byte("asyncapi: 3.0.0\nservers: {production: {host: shop.example.com, protocol: https}}\n" +
		"channels: {orders: {address: /orders, messages: {order: {payload: {type: object}}}}}\n" +
		"operations: {placeOrder: {action: receive, channel: {$ref: '#/channels/orders'}}}\n"),
	"https://stock.example.com/stock.proto": []byte("syntax = \"proto3\";\npackage stock.v1;\nmessage ReserveRequest { string order_id = 1; " +
		"repeated string lines = 2; }\nmessage ReserveResponse { bool reserved = 1; }\n" +
		"service Stock { rpc Reserve(ReserveRequest) returns (ReserveResponse); }\n"),
}

// TestFragment: what of a document is not there is added, and what is there stays.
func TestFragment(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"- a: {set: {b: 1}}":                          {"do/0/a/set/b", "document/dsl", "use/secrets/0"},
		"document: {name: mine}":                      {"document/name mine", "document/dsl", "do/0/nothing"},
		"use: {secrets: [own]}\ndo: [{a: {set: .x}}]": {"use/secrets/0 own", "use/authentications/stock", "do/0/a/set"},
	} {
		root := parsed(t, fragment(t, text, known))
		for _, w := range want {
			path, value, _ := strings.Cut(w, " ")
			n := root
			for step := range strings.SplitSeq(path, "/") {
				i := slices.IndexFunc(n.items, func(item *node) bool { return item.name == step })
				if i < 0 {
					t.Fatalf("%s makes %s, without %s", text, root.asJSON(), path)
				}
				n = n.items[i]
			}
			if value != "" && n.text != value {
				t.Errorf("%s makes %s, with %s", text, root.asJSON(), fmt.Sprint(n.value()))
			}
		}
	}
}
