package graph

import (
	"strings"
)

// Graph is what a definition does: its tasks, and what may come after what.
type Graph struct {
	// Definition is namespace/name:version, and Title the title of the document, or "".
	Definition string `json:"definition"`
	Title      string `json:"title,omitempty"`
	// Nodes are in the order of the document, each group before what is in it.
	Nodes []*Node `json:"nodes"`
	Edges []*Edge `json:"edges"`
}

// Node is a task, or something else that can be come to, such as the end.
type Node struct {
	// ID is a letter and a number, and the node's own in the graph.
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	// Reference is that of the task, a JSON pointer such as /do/0/reserve; "" for what is no task.
	Reference string `json:"reference,omitempty"`
	// Name is that of the task, or what else the node is called; it may be "".
	Name string `json:"name,omitempty"`
	// Lines say what the task does, and under which conditions, the most telling first. None has more than 500 bytes.
	Lines []string `json:"lines,omitempty"`
	// In is the ID of the group that the node is in, "" if it is in none.
	In string `json:"in,omitempty"`
	// Group says that there are nodes in it.
	Group bool `json:"group,omitempty"`
	// Unreachable says that no edges lead to it.
	Unreachable bool `json:"unreachable,omitempty"`
}

// Kind is what a node is: a kind of task, as the language calls it, or one of these.
type Kind string

// The kinds of nodes.
const (
	Call   Kind = "call"
	Do     Kind = "do"
	Emit   Kind = "emit"
	For    Kind = "for"
	Fork   Kind = "fork"
	Listen Kind = "listen"
	Raise  Kind = "raise"
	Run    Kind = "run"
	Set    Kind = "set"
	Switch Kind = "switch"
	Try    Kind = "try"
	Wait   Kind = "wait"
	// Unknown is a task of which the language does not know the kind.
	Unknown Kind = "unknown"
	// Foreach is what is done for each event of a Listen: a task that has its reference, and no name of its own.
	Foreach Kind = "foreach"

	// Start and End are where the workflow begins and ends. There is a further End in each list from which a task ends the workflow.
	Start Kind = "start"
	End   Kind = "end"
	// Body is what a Try tries, and Catch what becomes of an error there.
	Body  Kind = "body"
	Catch Kind = "catch"
	// Next is where a loop goes on with the next item, or ends.
	Next Kind = "next"
	// Function is a function of the document, shown by itself, Extension an extension, and Extended stands for the task that it extends.
	Function  Kind = "function"
	Extension Kind = "extension"
	Extended  Kind = "extended"
)

// task tells whether a node of that kind is a task.
func (k Kind) task() bool {
	switch k {
	case Start, End, Body, Catch, Next, Function, Extension, Extended:
		return false
	default:
		return true
	}
}

// Edge says that the node To may come after the node From. Where To is in the group From, the group begins with it; where From is in the
// group To, the group ends behind it.
type Edge struct {
	From string   `json:"from"`
	To   string   `json:"to"`
	Kind EdgeKind `json:"kind"`
	// Label says when, "" if always. It has no more than 500 bytes.
	Label string `json:"label,omitempty"`
}

// EdgeKind is why a node comes after another.
type EdgeKind string

// The kinds of edges.
const (
	// Flow goes on in the order of the document, and Jump elsewhere, by "then".
	Flow EdgeKind = "flow"
	Jump EdgeKind = "jump"
	// Case is one of those of a switch.
	Case EdgeKind = "case"
	// Skip passes over what has a condition that does not hold.
	Skip EdgeKind = "skip"
	// Error leads from what is tried to what catches its errors, and Retry back.
	Error EdgeKind = "error"
	Retry EdgeKind = "retry"
	// Loop goes on with the next item.
	Loop EdgeKind = "loop"
	// Compensate leads to what undoes the task.
	Compensate EdgeKind = "compensate"
)

// New makes the graph of a definition, YAML or JSON, as it was deployed, with or without the resources behind it. It is an error if the
// document can't be read, has no tasks, or is beyond what the configuration allows.
func New(document []byte, c Config) (*Graph, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	root, err := read(document, c)
	if err != nil {
		return nil, err
	}
	return build(root, c)
}

// Find returns the node of the task with that reference, or else that of the nearest task around it which is shown, as for tasks of
// functions that are called and of extensions; nil if there is none.
func (g *Graph) Find(reference string) *Node {
	known := make(map[string]*Node, len(g.Nodes))
	for _, n := range g.Nodes {
		if n.Reference != "" {
			known[n.Reference] = n
		}
	}
	for reference != "" {
		if n := known[reference]; n != nil {
			return n
		}
		reference = reference[:max(strings.LastIndexByte(reference, '/'), 0)]
	}
	return nil
}
