package graph

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Mermaid writes the graph as a flowchart of Mermaid, for pages and documents that draw these. A group begins with a node of its own and
// ends with another one, as edges there can't lead from a group to what is in it.
func (g *Graph) Mermaid() []byte {
	m := &flowchart{
		children: make(map[string][]*Node), nodes: make(map[string]*Node), begins: make(map[string]bool), ends: make(map[string]bool),
	}
	for _, n := range g.Nodes {
		m.nodes[n.ID] = n
		m.children[n.In] = append(m.children[n.In], n)
	}
	for _, e := range g.Edges {
		from, to := m.nodes[e.From], m.nodes[e.To]
		if to.Group {
			m.begins[to.ID] = m.begins[to.ID] || from.In != to.ID
			m.ends[to.ID] = m.ends[to.ID] || from.In == to.ID
		}
		if from.Group && !e.ofWhole() {
			m.begins[from.ID] = m.begins[from.ID] || to.In == from.ID
			m.ends[from.ID] = m.ends[from.ID] || to.In != from.ID
		}
	}
	title := g.Definition
	if g.Title != "" {
		title += ": " + g.Title
	}
	quoted, err := json.Marshal(title) // that is YAML, too
	if err != nil {
		panic(err) // it is a text
	}
	fmt.Fprintf(&m.b, "---\ntitle: %s\n---\nflowchart TB\n", quoted)
	m.list("", "  ")
	for _, e := range g.Edges {
		m.edge(e)
	}
	m.b.WriteString("  classDef mark stroke-dasharray: 4 3\n  classDef unreachable opacity: 0.5\n")
	m.classes(g)
	return []byte(m.b.String())
}

// flowchart writes Mermaid.
type flowchart struct {
	b        strings.Builder
	nodes    map[string]*Node
	children map[string][]*Node
	// begins and ends are the groups that have a node for that.
	begins, ends map[string]bool
}

// list writes the nodes of a group.
func (m *flowchart) list(group, indent string) {
	for _, n := range m.children[group] {
		text := quote(n)
		switch {
		case n.Group:
			fmt.Fprintf(&m.b, "%ssubgraph %s[%s]\n%s  direction TB\n", indent, n.ID, text, indent)
			if m.begins[n.ID] {
				fmt.Fprintf(&m.b, "%s  %s_begin(( ))\n", indent, n.ID)
			}
			m.list(n.ID, indent+"  ")
			if m.ends[n.ID] {
				fmt.Fprintf(&m.b, "%s  %s_end(( ))\n", indent, n.ID)
			}
			fmt.Fprintf(&m.b, "%send\n", indent)
		case n.Kind == Switch:
			fmt.Fprintf(&m.b, "%s%s{{%s}}\n", indent, n.ID, text)
		case n.Kind == Start, n.Kind == Next, n.Kind == Extended:
			fmt.Fprintf(&m.b, "%s%s([%s])\n", indent, n.ID, text)
		case n.Kind == End:
			fmt.Fprintf(&m.b, "%s%s(((%s)))\n", indent, n.ID, text)
		default:
			fmt.Fprintf(&m.b, "%s%s[%s]\n", indent, n.ID, text)
		}
	}
}

// ofWhole tells whether an edge that leaves a group concerns all of it, wherever in it one is.
func (e *Edge) ofWhole() bool { return e.Kind == Error || e.Kind == Compensate }

// edge writes an edge.
func (m *flowchart) edge(e *Edge) {
	from, to := m.nodes[e.From], m.nodes[e.To]
	start, end := from.ID, to.ID
	switch {
	case e.ofWhole():
	case from.Group && to.In == from.ID:
		start += "_begin"
	case from.Group:
		start += "_end"
	}
	switch {
	case to.Group && from.In == to.ID:
		end += "_end"
	case to.Group:
		end += "_begin"
	}
	arrow, label := "-->", e.Label
	switch e.Kind {
	case Skip, Loop:
		arrow = "-.->"
	case Error, Retry, Compensate:
		arrow, label = "-.->", orElse(label, string(e.Kind))
	default:
	}
	if label != "" {
		arrow += "|\"" + mermaidEscape(label, mostMermaid) + "\"|"
	}
	fmt.Fprintf(&m.b, "  %s %s %s\n", start, arrow, end)
}

// classes tells what looks otherwise than the rest.
func (m *flowchart) classes(g *Graph) {
	for _, n := range g.Nodes {
		switch {
		case n.Unreachable:
			fmt.Fprintf(&m.b, "  class %s unreachable\n", n.ID)
		case n.Kind == Body, n.Kind == Foreach, n.Kind == Function, n.Kind == Extension:
			fmt.Fprintf(&m.b, "  class %s mark\n", n.ID)
		}
	}
}

// mostMermaid is how many characters of a line are written.
const mostMermaid = 60

// quote writes the texts of a node as a string of Mermaid.
func quote(n *Node) string {
	var parts []string
	if n.Name != "" {
		parts = append(parts, mermaidEscape(n.Name, 2*mostMermaid))
	}
	for _, line := range n.Lines {
		parts = append(parts, mermaidEscape(line, mostMermaid))
	}
	if len(parts) == 0 {
		parts = []string{" "}
	}
	return `"` + strings.Join(parts, "<br/>") + `"`
}

// mermaidEscape writes a text so that Mermaid takes nothing in it for markup, and cuts it.
func mermaidEscape(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > most {
			b.WriteString("…")
			break
		}
		if strings.ContainsRune("\"#&<>`\\|%", r) {
			fmt.Fprintf(&b, "#%d;", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
