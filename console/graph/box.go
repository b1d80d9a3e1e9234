package graph

// box is a node as it is drawn, with what is in it if it is a group.
type box struct {
	node *Node
	// The place is that in the group until all are placed, and that in the picture then.
	x, y, w, h int
	// in and out are where edges come in at the top and go out at the bottom, from x on.
	in, out int
	// head is the height of a group's head: texts, and the line beneath.
	head int
	// name and lines are the texts as they are drawn.
	name  string
	lines []string

	children []*box
	routes   []*route
}

// route is an edge as it is drawn.
type route struct {
	edge   *Edge
	points []point
	// label is where the label stands, without a width if there is none.
	label rect
	text  string
}

type point struct{ x, y int }

type rect struct{ x, y, w, h int }

// Sizes, in pixels.
const (
	margin     = 16  // around the picture, and inside of a group
	padding    = 12  // beside the texts of a box
	nameHeight = 17  // of a line with a name
	lineHeight = 15  // of any other
	mostText   = 250 // the width of the widest text
	mostHead   = 420 // the same in the head of a group
	mostLabel  = 240 // the same of a label
	labelHigh  = 19
	leastWidth = 110 // of a task
	terminal   = 20  // of an end beside a task
)

// boxes makes the boxes of all nodes, laid out in each other, and returns that of the whole picture.
func (g *Graph) boxes() *box {
	l := &layouter{children: make(map[string][]*Node), edges: make(map[string][]*Edge), passes: mostPasses}
	in := make(map[string]string, len(g.Nodes))
	for _, n := range g.Nodes {
		l.children[n.In] = append(l.children[n.In], n)
		in[n.ID] = n.In
	}
	for _, e := range g.Edges {
		group := in[e.From]
		if in[e.To] == e.From {
			group = e.From // it begins there
		}
		l.edges[group] = append(l.edges[group], e)
	}
	whole := l.whole()
	whole.shift(0, 0)
	return whole
}

// layouter lays out the nodes of a graph.
type layouter struct {
	children map[string][]*Node
	edges    map[string][]*Edge
	// passes is how many more places there may be where edges pass by a layer.
	passes int
}

// whole lays out the workflow, and beside it what stands by itself.
func (l *layouter) whole() *box {
	var flow, beside []*box
	for _, n := range l.children[""] {
		b := l.box(n)
		if n.Kind == Function || n.Kind == Extension {
			beside = append(beside, b)
		} else {
			flow = append(flow, b)
		}
	}
	main := l.arrange("", flow)
	whole := &box{children: append(flow, beside...), routes: main.routes, w: main.w, h: main.h}
	main.shift(flow, margin, margin)
	column, y, widest := margin+main.w+2*margin, margin, 0
	for _, b := range beside {
		if y > margin && y+b.h > max(main.h, 900)+margin { // the next column
			column, y, widest = column+widest+margin, margin, 0
		}
		b.x, b.y = column, y
		y += b.h + margin
		widest = max(widest, b.w)
		whole.w, whole.h = max(whole.w, b.x+b.w-margin), max(whole.h, b.y+b.h-margin)
	}
	whole.w, whole.h = whole.w+2*margin, whole.h+2*margin
	return whole
}

// box makes the box of a node.
func (l *layouter) box(n *Node) *box {
	b := &box{node: n}
	if n.Group {
		l.group(b)
		return b
	}
	switch {
	case n.Kind == End && n.In != "", n.Kind == End && n.Name == "":
		b.w, b.h = terminal, terminal
	default:
		widest := b.text(mostText)
		b.w = max(widest+2*padding, leastWidth)
		b.h = nameHeight*count(b.name) + lineHeight*len(b.lines) + padding
		switch n.Kind {
		case Switch:
			b.w += 2 * padding // it is pointed
		case Start, End, Next, Extended:
			b.w = widest + 3*padding
		default:
		}
	}
	b.in, b.out = b.w/2, b.w/2
	return b
}

// text makes the texts of a box, and returns the width of the widest.
func (b *box) text(most int) int {
	b.name = fit(b.node.Name, nameSize, true, most)
	widest := textWidth(b.name, nameSize, true)
	for _, line := range b.node.Lines {
		line = fit(line, lineSize, false, most)
		b.lines = append(b.lines, line)
		widest = max(widest, textWidth(line, lineSize, false))
	}
	return widest
}

// count is 1 for a text, 0 for none.
func count(s string) int {
	if s == "" {
		return 0
	}
	return 1
}

// group lays out what is in a group, and makes its box.
func (l *layouter) group(b *box) {
	for _, n := range l.children[b.node.ID] {
		b.children = append(b.children, l.box(n))
	}
	inner := l.arrange(b.node.ID, b.children)
	b.routes = inner.routes
	widest := b.text(mostHead)
	if widest > 0 {
		b.head = nameHeight*count(b.name) + lineHeight*len(b.lines) + padding
	}
	b.w = max(inner.w+2*margin, widest+2*padding+margin)
	left := (b.w - inner.w) / 2
	inner.shift(b.children, left, b.head)
	b.h = b.head + inner.h
	b.in, b.out = left+inner.in, left+inner.out
}

// shift moves everything in a block.
func (k *block) shift(children []*box, x, y int) {
	for _, c := range children {
		c.x, c.y = c.x+x, c.y+y
	}
	for _, r := range k.routes {
		r.shift(x, y)
	}
}

func (r *route) shift(x, y int) {
	for i := range r.points {
		r.points[i].x, r.points[i].y = r.points[i].x+x, r.points[i].y+y
	}
	r.label.x, r.label.y = r.label.x+x, r.label.y+y
}

// shift moves a box, whose place is that in a group which is at x and y, and all that is in it, to their places in the picture.
func (b *box) shift(x, y int) {
	b.x, b.y = b.x+x, b.y+y
	for _, r := range b.routes {
		r.shift(b.x, b.y)
	}
	for _, c := range b.children {
		c.shift(b.x, b.y)
	}
}

// walk calls do with a box and all that are in it, each group before what is in it.
func (b *box) walk(do func(*box)) {
	do(b)
	for _, c := range b.children {
		c.walk(do)
	}
}
