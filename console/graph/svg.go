package graph

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// SVG draws the graph: a picture that needs nothing else, and that a page can style. The root has the class "holdfast-graph". A task is an
// element with the classes "task" and its kind, such as "call", and the attribute data-reference; a group has the class "group", too,
// and what is no task the class "mark". An edge has the classes "edge" and its kind; data-from and data-to name nodes by their IDs,
// which these have in data-node. What nothing leads to, and what leads from there, has the class "unreachable". Colours follow the
// reader's scheme, light or dark.
func (g *Graph) SVG() []byte {
	whole := g.boxes()
	d := &drawing{pale: make(map[string]bool)}
	for _, n := range g.Nodes {
		d.pale[n.ID] = n.Unreachable
	}
	d.printf(`<svg xmlns="http://www.w3.org/2000/svg" class="holdfast-graph" role="img" width="%d" height="%d" viewBox="0 0 %d %d">`+"\n",
		whole.w, whole.h, whole.w, whole.h)
	title := g.Definition
	if g.Title != "" {
		title += ": " + g.Title
	}
	d.printf("<title>%s</title>\n<style>%s</style>\n", escape(title), style)
	d.printf(`<rect class="background" width="%d" height="%d"/>`+"\n", whole.w, whole.h)
	whole.walk(func(b *box) {
		if b.node != nil && b.node.Group {
			d.group(b)
		}
	})
	whole.walk(func(b *box) {
		for _, r := range b.routes {
			d.route(r)
		}
	})
	whole.walk(func(b *box) {
		if b.node != nil && !b.node.Group {
			d.leaf(b)
		}
	})
	whole.walk(func(b *box) {
		for _, r := range b.routes {
			d.label(r)
		}
	})
	d.b.WriteString("</svg>\n")
	return []byte(d.b.String())
}

// style is how a picture looks that no page styles.
const style = `
.holdfast-graph{font-family:Helvetica,Arial,"Liberation Sans",sans-serif;font-size:11px}
.holdfast-graph .background{fill:#fff}
.holdfast-graph text{fill:#4a5361}
.holdfast-graph .name{font-size:13px;font-weight:bold;fill:#1b212b}
.holdfast-graph .shape{fill:#fff;stroke:#97a1b0}
.holdfast-graph .accent{fill:#97a1b0}
.holdfast-graph .group>.shape{fill:#5b7083;fill-opacity:.05;stroke:#b4bdca}
.holdfast-graph .group>.rule{stroke:#b4bdca}
.holdfast-graph .body>.shape,.holdfast-graph .foreach>.shape,
.holdfast-graph .function>.shape,.holdfast-graph .extension>.shape{stroke-dasharray:5 3}
.holdfast-graph .call>.accent{fill:#2f6fd0}
.holdfast-graph .run>.accent{fill:#1f8a8a}
.holdfast-graph .set>.accent{fill:#97a1b0}
.holdfast-graph .wait>.accent,.holdfast-graph .listen>.accent,.holdfast-graph .emit>.accent{fill:#8a5fc7}
.holdfast-graph .raise>.accent,.holdfast-graph .catch>.accent{fill:#c9372c}
.holdfast-graph .switch>.shape{fill:#fdf3dc;stroke:#c9962b}
.holdfast-graph .start>.shape,.holdfast-graph .end>.shape,.holdfast-graph .dot{fill:#4a5361;stroke:#4a5361}
.holdfast-graph .ring{fill:none;stroke:#4a5361;stroke-width:1.5}
.holdfast-graph .start text,.holdfast-graph .end text{fill:#fff}
.holdfast-graph .catch>.shape{fill:#fdf0ee;stroke:#d98078}
.holdfast-graph .next>.shape,.holdfast-graph .extended>.shape{fill:#eef1f5}
.holdfast-graph .unreachable{opacity:.55}
.holdfast-graph .unreachable>.shape{stroke-dasharray:3 3}
.holdfast-graph .line{fill:none;stroke:#6c7686;stroke-width:1.3}
.holdfast-graph .arrow{fill:#6c7686}
.holdfast-graph .label>rect{fill:#fff;stroke:#d5dae2}
.holdfast-graph .skip>.line,.holdfast-graph .loop>.line,.holdfast-graph .compensate>.line,
.holdfast-graph .error>.line,.holdfast-graph .retry>.line{stroke-dasharray:5 3}
.holdfast-graph .error>.line{stroke:#c9372c}
.holdfast-graph .error>.arrow{fill:#c9372c}
.holdfast-graph .compensate>.line{stroke:#b26a00}
.holdfast-graph .compensate>.arrow{fill:#b26a00}
@media (prefers-color-scheme:dark){
.holdfast-graph .background{fill:#161a21}
.holdfast-graph text{fill:#aab4c2}
.holdfast-graph .name{fill:#eef2f7}
.holdfast-graph .shape{fill:#222833;stroke:#5b6676}
.holdfast-graph .group>.shape{fill:#9fb3c8;fill-opacity:.06;stroke:#4a5464}
.holdfast-graph .group>.rule{stroke:#4a5464}
.holdfast-graph .switch>.shape{fill:#3a3120;stroke:#b58a32}
.holdfast-graph .start>.shape,.holdfast-graph .end>.shape,.holdfast-graph .dot{fill:#aab4c2;stroke:#aab4c2}
.holdfast-graph .ring{stroke:#aab4c2}
.holdfast-graph .start text,.holdfast-graph .end text{fill:#161a21}
.holdfast-graph .catch>.shape{fill:#3a2422;stroke:#b5564d}
.holdfast-graph .next>.shape,.holdfast-graph .extended>.shape{fill:#2b323f}
.holdfast-graph .line{stroke:#8d98a8}
.holdfast-graph .arrow{fill:#8d98a8}
.holdfast-graph .label>rect{fill:#161a21;stroke:#3a4352}
.holdfast-graph .error>.line{stroke:#e5695f}
.holdfast-graph .error>.arrow{fill:#e5695f}
.holdfast-graph .compensate>.line{stroke:#e0a03c}
.holdfast-graph .compensate>.arrow{fill:#e0a03c}
}
`

// drawing writes SVG.
type drawing struct {
	b strings.Builder
	// pale are the nodes that nothing leads to.
	pale map[string]bool
}

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(&d.b, format, args...) }

// escape makes a text fit to stand in XML, also in an attribute.
func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a builder takes everything
	return b.String()
}

// open begins the element of a node, with what is told when one points at it.
func (d *drawing) open(b *box) {
	n := b.node
	classes := []string{"mark"}
	if n.Kind.task() {
		classes[0] = "task"
	}
	if n.Group {
		classes = append([]string{"group"}, classes...)
	}
	classes = append(classes, string(n.Kind))
	if n.Unreachable {
		classes = append(classes, "unreachable")
	}
	d.printf(`<g class="%s" data-node="%s"`, strings.Join(classes, " "), n.ID)
	if n.Reference != "" {
		d.printf(` data-reference="%s"`, escape(n.Reference))
	}
	d.b.WriteString(">")
	var told []string
	for _, text := range append([]string{n.Reference, n.Name}, n.Lines...) {
		if text != "" {
			told = append(told, text)
		}
	}
	if n.Unreachable {
		told = append(told, "nothing leads here")
	}
	if len(told) > 0 {
		d.printf("<title>%s</title>", escape(strings.Join(told, "\n")))
	}
}

// group draws a group, without what is in it.
func (d *drawing) group(b *box) {
	d.open(b)
	d.printf(`<rect class="shape" x="%d" y="%d" width="%d" height="%d" rx="7"/>`, b.x, b.y, b.w, b.h)
	if b.head > 0 {
		d.printf(`<path class="rule" d="M%d %dh%d"/>`, b.x, b.y+b.head, b.w)
		d.texts(b, b.x+padding, "start")
	}
	d.b.WriteString("</g>\n")
}

// leaf draws a node that is no group.
func (d *drawing) leaf(b *box) {
	d.open(b)
	middle := b.x + b.w/2
	switch b.node.Kind {
	case End:
		if b.w == terminal {
			r := terminal / 2
			d.printf(`<circle class="ring" cx="%d" cy="%d" r="%d"/><circle class="dot" cx="%d" cy="%d" r="%d"/>`,
				middle, b.y+r, r-1, middle, b.y+r, r-5)
			break
		}
		d.pill(b)
		d.texts(b, middle, "middle")
	case Start, Next, Extended:
		d.pill(b)
		d.texts(b, middle, "middle")
	case Switch:
		d.printf(`<path class="shape" d="M%d %dl%d %dh%dl%d %dl%d %dh%dz"/>`, b.x, b.y+b.h/2, padding, -(b.h / 2), b.w-2*padding,
			padding, b.h/2, -padding, b.h-b.h/2, 2*padding-b.w)
		d.texts(b, middle, "middle")
	default:
		d.printf(`<rect class="shape" x="%d" y="%d" width="%d" height="%d" rx="5"/>`, b.x, b.y, b.w, b.h)
		d.printf(`<path class="accent" d="M%d %dh-1a4 4 0 0 0 -4 4v%da4 4 0 0 0 4 4h1z"/>`, b.x+5, b.y, b.h-8)
		d.texts(b, b.x+padding, "start")
	}
	d.b.WriteString("</g>\n")
}

func (d *drawing) pill(b *box) {
	d.printf(`<rect class="shape" x="%d" y="%d" width="%d" height="%d" rx="%d"/>`, b.x, b.y, b.w, b.h, min(b.h/2, 15))
}

// texts writes the name and the lines of a box.
func (d *drawing) texts(b *box, x int, anchor string) {
	if anchor == "middle" {
		anchor = ` text-anchor="middle"`
	} else {
		anchor = ""
	}
	y := b.y + padding/2
	if b.name != "" {
		d.printf(`<text class="name" x="%d" y="%d"%s>%s</text>`, x, y+nameHeight-4, anchor, escape(b.name))
		y += nameHeight
	}
	for _, line := range b.lines {
		d.printf(`<text x="%d" y="%d"%s>%s</text>`, x, y+lineHeight-4, anchor, escape(line))
		y += lineHeight
	}
}

// Sizes of what is drawn of an edge, in pixels.
const (
	bend      = 5 // the radius of a bend
	arrowHigh = 7
	arrowWide = 4 // half of it
)

// route draws an edge, with rounded bends.
func (d *drawing) route(r *route) {
	class := string(r.edge.Kind)
	if d.pale[r.edge.From] {
		class += " unreachable"
	}
	d.printf(`<g class="edge %s" data-from="%s" data-to="%s"><path class="line" d="`, class, r.edge.From, r.edge.To)
	last := len(r.points) - 1
	for i, p := range r.points {
		switch i {
		case 0:
			d.printf("M%d %d", p.x, p.y)
		case last:
			d.printf("L%d %d", p.x, p.y-arrowHigh+1)
		default:
			before, after := r.points[i-1], r.points[i+1]
			from, to := toward(p, before), toward(p, after)
			d.printf("L%d %dQ%d %d %d %d", from.x, from.y, p.x, p.y, to.x, to.y)
		}
	}
	end := r.points[last]
	d.printf(`"/><path class="arrow" d="M%d %dl%d %dh%dz"/></g>`+"\n", end.x, end.y, -arrowWide, -arrowHigh, 2*arrowWide)
}

// toward is the point from which a bend at p begins that comes from another point, at most half of the way there.
func toward(p, o point) point {
	step := func(a, b int) int {
		return a + max(-bend, min(bend, (b-a)/2))
	}
	return point{step(p.x, o.x), step(p.y, o.y)}
}

// label draws the label of an edge, if it has one.
func (d *drawing) label(r *route) {
	if r.label.w == 0 {
		return
	}
	d.printf(`<g class="label %s"><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="%d"/>`, r.edge.Kind, escape(r.edge.Label),
		r.label.x, r.label.y, r.label.w, r.label.h, labelHigh/2)
	d.printf(`<text x="%d" y="%d" text-anchor="middle">%s</text></g>`+"\n", r.label.x+r.label.w/2, r.label.y+labelHigh-6, escape(r.text))
}
