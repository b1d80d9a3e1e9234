package graph

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// checkPicture says what is wrong with how a graph is drawn: boxes that lie on each other or leave their group, texts that leave their box,
// edges that do not lead from box to box, or run through one.
func checkPicture(whole *box) []string {
	var found []string
	findf := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	boxes := make(map[string]*box)
	group := make(map[*box]*box)
	whole.walk(func(b *box) {
		if b.node != nil {
			boxes[b.node.ID] = b
		}
		for i, c := range b.children {
			group[c] = b
			if c.x < b.x || c.y < b.y+b.head || c.x+c.w > b.x+b.w || c.y+c.h > b.y+b.h {
				findf("%s leaves its group", c)
			}
			for _, o := range b.children[:i] {
				if c.rect().overlaps(o.rect()) {
					findf("%s lies on %s", c, o)
				}
			}
			for _, r := range b.routes {
				if r.label.w > 0 && c.rect().overlaps(r.label) {
					findf("%s lies on the label %q", c, r.text)
				}
			}
		}
		for i, r := range b.routes {
			for _, o := range b.routes[:i] {
				if r.label.w > 0 && o.label.w > 0 && r.label.overlaps(o.label) {
					findf("the label %q lies on %q", r.text, o.text)
				}
			}
		}
		if b.name != "" && textWidth(b.name, nameSize, true) > b.w {
			findf("%s is narrower than its name", b)
		}
		for _, line := range b.lines {
			if textWidth(line, lineSize, false) > b.w {
				findf("%s is narrower than %q", b, line)
			}
		}
	})
	whole.walk(func(b *box) {
		for _, r := range b.routes {
			found = append(found, checkRoute(b, r, boxes, group)...)
		}
	})
	return found
}

// checkRoute says what is wrong with an edge in a group.
func checkRoute(in *box, r *route, boxes map[string]*box, group map[*box]*box) []string {
	var found []string
	findf := func(format string, args ...any) {
		found = append(found, fmt.Sprintf("the edge from %s to %s ", r.edge.From, r.edge.To)+fmt.Sprintf(format, args...))
	}
	from, to := boxes[r.edge.From], boxes[r.edge.To]
	if from == nil || to == nil || len(r.points) < 2 {
		return []string{fmt.Sprintf("the edge from %s to %s has no ends", r.edge.From, r.edge.To)}
	}
	first, last := r.points[0], r.points[len(r.points)-1]
	begin, end := from.y+from.h, to.y
	if group[to] == from {
		begin = from.y + from.head
	}
	if group[from] == to {
		end = to.y + to.h
	}
	if first.y != begin || first.x < from.x || first.x > from.x+from.w {
		findf("begins at %v and not at its box", first)
	}
	if last.y != end || last.x < to.x || last.x > to.x+to.w {
		findf("ends at %v and not at its box", last)
	}
	if n := len(r.points); r.points[n-2].x != last.x || r.points[n-2].y > last.y-arrowHigh {
		findf("does not come in from above: %v", r.points)
	}
	for i, q := range r.points[1:] {
		p := r.points[i]
		if p.x != q.x && p.y != q.y {
			findf("is not orthogonal at %v", p)
		}
		segment := rect{min(p.x, q.x), min(p.y, q.y), max(p.x, q.x) - min(p.x, q.x), max(p.y, q.y) - min(p.y, q.y)}
		if segment.x < in.x || segment.x+segment.w > in.x+in.w || segment.y < in.y || segment.y+segment.h > in.y+in.h {
			findf("leaves its group at %v", p)
		}
		for _, c := range in.children {
			if c.rect().crossed(segment) {
				findf("runs through %s", c)
			}
		}
		for _, o := range in.routes {
			if o != r && o.label.w > 0 && o.label.crossed(segment) {
				findf("runs through the label %q", o.text)
			}
		}
	}
	return found
}

func (b *box) rect() rect { return rect{b.x, b.y, b.w, b.h} }

func (b *box) String() string {
	if b.node == nil {
		return "the picture"
	}
	return b.node.ID + " " + b.node.Reference + " " + b.node.Name
}

func (r rect) overlaps(o rect) bool {
	return r.x < o.x+o.w && o.x < r.x+r.w && r.y < o.y+o.h && o.y < r.y+r.h
}

// crossed tells whether a line, which has no width or no height, runs through the inside of r.
func (r rect) crossed(line rect) bool {
	return line.x < r.x+r.w && r.x < line.x+line.w && line.y < r.y+r.h && r.y < line.y+line.h ||
		line.w == 0 && r.x < line.x && line.x < r.x+r.w && line.y < r.y+r.h && r.y < line.y+line.h ||
		line.h == 0 && r.y < line.y && line.y < r.y+r.h && line.x < r.x+r.w && r.x < line.x+line.w
}

// checkSVG says what is wrong with an SVG: that it is not well-formed, or does not have each node, edge and reference once.
func checkSVG(g *Graph, svg []byte) []string {
	var found []string
	nodes, references, edges := make(map[string]int), make(map[string]int), 0
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return []string{err.Error()}
		}
		start, is := token.(xml.StartElement)
		if !is {
			continue
		}
		for _, a := range start.Attr {
			switch a.Name.Local {
			case "data-node":
				nodes[a.Value]++
			case "data-reference":
				references[a.Value]++
			case "data-from":
				edges++
			}
		}
	}
	for _, n := range g.Nodes {
		if nodes[n.ID] != 1 {
			found = append(found, fmt.Sprintf("the node %s is drawn %d times", n.ID, nodes[n.ID]))
		}
		if n.Reference != "" && references[n.Reference] != 1 {
			found = append(found, fmt.Sprintf("the reference %s is there %d times", n.Reference, references[n.Reference]))
		}
	}
	if len(nodes) != len(g.Nodes) || edges != len(g.Edges) {
		found = append(found, fmt.Sprintf("%d nodes and %d edges are drawn", len(nodes), edges))
	}
	return found
}

var (
	mermaidNode = regexp.MustCompile(`^ *(?:subgraph )?(n\d+(?:_begin|_end)?)(?:\[|\(|\{)`)
	mermaidEdge = regexp.MustCompile(`^  (n\d+(?:_begin|_end)?) (?:-->|-\.->)(?:\|"[^"]*"\|)? (n\d+(?:_begin|_end)?)$`)
	mermaidRest = regexp.MustCompile(`^(?: *end| *direction TB|  classDef .*|  class n\d+ \w+|)$`)
)

// checkMermaid says what is wrong with a flowchart: lines that are none of it, identifiers that are not unique, edges to nodes that are not there.
func checkMermaid(text []byte) []string {
	var found []string
	lines := strings.Split(string(text), "\n")
	if len(lines) < 4 || lines[0] != "---" || lines[2] != "---" || lines[3] != "flowchart TB" {
		return []string{"the head is wrong"}
	}
	known := make(map[string]bool)
	for _, line := range lines[4:] {
		if n := mermaidNode.FindStringSubmatch(line); n != nil {
			if known[n[1]] {
				found = append(found, "not unique: "+line)
			}
			known[n[1]] = true
			if strings.Count(line, `"`)%2 != 0 || strings.Count(line, `"`) > 2 {
				found = append(found, "a text ends before its end: "+line)
			}
		}
	}
	for _, line := range lines[4:] {
		switch e := mermaidEdge.FindStringSubmatch(line); {
		case e != nil && (!known[e[1]] || !known[e[2]]):
			found = append(found, "no such node: "+line)
		case e == nil && !mermaidNode.MatchString(line) && !mermaidRest.MatchString(line):
			found = append(found, "what is this: "+line)
		}
	}
	return found
}

// checkAll checks both pictures of a graph.
func checkAll(t *testing.T, name string, g *Graph) {
	t.Helper()
	svg := g.SVG()
	found := slices.Concat(checkPicture(g.boxes()), checkSVG(g, svg), checkMermaid(g.Mermaid()))
	for i, f := range found {
		if i == 10 {
			t.Fatalf("%s: and %d more", name, len(found)-i)
		}
		t.Errorf("%s: %s", name, f)
	}
	if !bytes.Equal(svg, g.SVG()) {
		t.Errorf("%s: not the same picture twice", name)
	}
}

// TestChecks: what the checks are there for, they find.
func TestChecks(t *testing.T) {
	t.Parallel()
	g := graphOf(t, readTest(t, "testdata/jumps.yaml"), Config{})
	find := func(what string, found []string) {
		t.Helper()
		if !slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, what) }) {
			t.Errorf("%q is not found: %v", what, found)
		}
	}
	if found := checkPicture(g.boxes()); len(found) > 0 {
		t.Error(found)
	}
	whole := g.boxes()
	whole.children[1].y = whole.children[2].y
	whole.children[1].x = whole.children[2].x
	find("lies on", checkPicture(whole))
	find("not at its box", checkPicture(whole))
	whole = g.boxes()
	whole.children[2].x -= 10_000
	find("leaves its group", checkPicture(whole))
	whole = g.boxes()
	for _, r := range whole.routes { // all lead straight through what is between
		r.points = []point{r.points[0], {r.points[0].x, r.points[len(r.points)-1].y}, r.points[len(r.points)-1]}
	}
	find("runs through", checkPicture(whole))
	find("not come in from above", checkPicture(whole))
	whole.routes[0].points[0].x++
	find("not orthogonal", checkPicture(whole))
	find("EOF", checkSVG(g, []byte("<svg><g>")))
	find("is drawn 0 times", checkSVG(g, []byte("<svg></svg>")))
	find("not unique", checkMermaid([]byte("---\ntitle: x\n---\nflowchart TB\n  n1[\"a\"]\n  n1[\"b\"]\n")))
	find("no such node", checkMermaid([]byte("---\ntitle: x\n---\nflowchart TB\n  n1[\"a\"]\n  n1 --> n2\n")))
	find("what is this", checkMermaid([]byte("---\ntitle: x\n---\nflowchart TB\n  click n1\n")))
}
