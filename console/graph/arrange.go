package graph

import (
	"slices"
)

// vertex is what takes room in a layer: a box, a label, a place where edges pass by the layer, or the begin or end of the group.
type vertex struct {
	box   *box   // nil for all others
	label *route // of which it is the label, or nil
	// in and out are where edges come in and go out, from x on, beside is the least distance to what is next to it.
	x, y, w, h, in, out, beside int

	layer, index int
	up, down     []near // those that edges lead from and to, in the layers above and below
}

// near is a vertex to which another one is linked, and how much it counts that they are above each other.
type near struct {
	*vertex

	weight int
}

// link is an edge between two boxes, or between a box and a label.
type link struct {
	route    *route
	from, to *vertex
	// path is all vertices on the way, both ends included; empty if it goes by a lane.
	path []*vertex
	lane *lane
	last bool // it leads to the end of the edge, and not to its label
}

// lane is a way beside all boxes, from the channel above one layer to that above another. Links to one box share it.
type lane struct {
	to     *vertex
	kind   EdgeKind
	left   bool
	first  int // the channels, the upper first
	last   int
	column int // 0 is next to the boxes
	x      int
}

// block is what a group holds, laid out.
type block struct {
	w, h    int
	in, out int // where the edges of the group's begin and end are, from the left
	routes  []*route
}

// plan is the layout of one group.
type plan struct {
	l        *layouter
	vertices []*vertex // in the order of the document, labels behind what they are a label of
	layers   [][]*vertex
	links    []*link
	lanes    []*lane
	routes   []*route
	begin    *vertex // nil if no edge begins with the group
	end      *vertex // nil if none ends it

	channels []*channel
	made     map[segmentKey]*segment
}

const (
	// longestPass is how many layers an edge passes by between boxes; one that goes on for longer takes a lane.
	longestPass = 24
	// mostPasses is how many places for that there are in a graph.
	mostPasses = 20_000
)

// arrange lays out the boxes of a group: it gives them their places, and makes the routes of the edges among them.
func (l *layouter) arrange(group string, boxes []*box) *block {
	p := &plan{l: l}
	edges := l.edges[group]
	byID := make(map[string]*vertex, len(boxes))
	for _, b := range boxes {
		byID[b.node.ID] = &vertex{box: b, w: b.w, h: b.h, in: b.in, out: b.out, beside: 14}
	}
	p.begin, p.end = &vertex{beside: 7}, &vertex{beside: 7}
	begins, ends := false, false
	outgoing := make(map[*vertex][]*Edge)
	for _, e := range edges {
		from := byID[e.From]
		if e.From == group {
			from, begins = p.begin, true
		}
		ends = ends || e.To == group
		outgoing[from] = append(outgoing[from], e)
	}
	order := make(map[*vertex]int)
	p.add(p.begin, order)
	for _, b := range boxes {
		p.add(byID[b.node.ID], order)
	}
	p.add(p.end, order)
	for _, v := range slices.Clone(p.vertices) {
		for _, e := range outgoing[v] {
			to := byID[e.To]
			if e.To == group {
				to = p.end
			}
			p.connect(e, v, to, order[to] <= order[v])
		}
	}
	p.layer(order, ends, group == "")
	p.pass()
	p.order()
	p.across()
	p.sideways()
	p.downwards(ends)
	k := p.block()
	if !begins {
		k.in = k.w / 2
	}
	if !ends {
		k.out = k.w / 2
	}
	return k
}

func (p *plan) add(v *vertex, order map[*vertex]int) {
	order[v] = len(order)
	p.vertices = append(p.vertices, v)
}

// connect makes the links of an edge: one, or two with the label between them. back tells that it leads to the same box or one before.
func (p *plan) connect(e *Edge, from, to *vertex, back bool) {
	r := &route{edge: e}
	p.routes = append(p.routes, r)
	if e.Label == "" {
		p.links = append(p.links, &link{route: r, from: from, to: to, last: true, lane: p.lane(back, e, to)})
		return
	}
	r.text = fit(e.Label, lineSize, false, mostLabel)
	w := textWidth(r.text, lineSize, false) + padding
	label := &vertex{label: r, w: w, h: labelHigh, in: w / 2, out: w / 2, beside: 8}
	p.vertices = append(p.vertices, label)
	p.links = append(
		p.links, &link{route: r, from: from, to: label}, &link{route: r, from: label, to: to, last: true, lane: p.lane(back, e, to)},
	)
}

// lane returns a lane for an edge that needs one, not yet shared with others.
func (p *plan) lane(needed bool, e *Edge, to *vertex) *lane {
	if !needed {
		return nil
	}
	return &lane{to: to, kind: e.Kind}
}

// layer gives each vertex its layer: below all from which edges lead to it, those that go back left out. The end of the workflow is last.
func (p *plan) layer(order map[*vertex]int, ends, isRoot bool) {
	outgoing := make(map[*vertex][]*link)
	entered := make(map[*vertex]bool)
	for _, k := range p.links { // all that have a lane by now go back
		outgoing[k.from] = append(outgoing[k.from], k)
		entered[k.to] = entered[k.to] || k.lane == nil
	}
	var lower func(from *vertex)
	lower = func(from *vertex) {
		for _, k := range outgoing[from] {
			if k.lane == nil {
				k.to.layer = max(k.to.layer, from.layer+1)
			}
			if k.to.label != nil {
				lower(k.to) // it is in no order of its own
			}
		}
	}
	var previous *vertex
	for _, v := range p.vertices {
		if _, ordered := order[v]; !ordered {
			continue
		}
		if v != p.begin && v != p.end && !entered[v] {
			v.layer = 1
			if previous != nil {
				v.layer = previous.layer + 1
			}
		}
		lower(v)
		previous = v
		if v == p.begin {
			previous = nil
		}
	}
	p.fill(ends, func(v *vertex) bool { return isRoot && v.box != nil && v.box.node.Kind == End && entered[v] })
}

// fill puts the vertices into their layers. Those that are last are beneath everything.
func (p *plan) fill(ends bool, isLast func(*vertex) bool) {
	last := 0
	for _, v := range p.vertices {
		if v != p.end {
			last = max(last, v.layer)
		}
	}
	for _, v := range p.vertices {
		if isLast(v) {
			v.layer = last
		}
	}
	if ends {
		p.end.layer = last + 1
	}
	p.layers = make([][]*vertex, max(last, p.end.layer)+1)
	for _, v := range p.vertices {
		if v == p.end && !ends {
			continue
		}
		p.put(v, v.layer)
	}
}

func (p *plan) put(v *vertex, layer int) {
	v.layer, v.index = layer, len(p.layers[layer])
	p.layers[layer] = append(p.layers[layer], v)
}

// passKey is what edges have in common that pass by a layer in one place.
type passKey struct {
	to    *vertex
	kind  EdgeKind
	layer int
}

// pass makes the places where links pass by layers, and lanes for those that go too far. Links to one box share what they can.
func (p *plan) pass() {
	places := make(map[passKey]*vertex)
	type pair struct{ from, to *vertex }
	joined := make(map[pair]bool)
	for _, k := range p.links {
		if far := k.to.layer - k.from.layer; far > longestPass || far > 1 && p.l.passes <= 0 {
			k.lane = &lane{to: k.to, kind: k.route.edge.Kind}
		}
		if k.lane != nil {
			continue
		}
		k.path = []*vertex{k.from}
		for layer := k.from.layer + 1; layer < k.to.layer; layer++ {
			key := passKey{k.to, k.route.edge.Kind, layer}
			v := places[key]
			if v == nil {
				v = &vertex{beside: 7}
				places[key] = v
				p.put(v, layer)
				p.l.passes--
			}
			k.path = append(k.path, v)
		}
		k.path = append(k.path, k.to)
		for i, to := range k.path[1:] {
			from := k.path[i]
			if !joined[pair{from, to}] {
				joined[pair{from, to}] = true
				weight := 1
				if k.route.edge.Kind == Flow {
					weight = mainFlow
				}
				if from.passes() && to.passes() {
					weight *= straight
				}
				from.down, to.up = append(from.down, near{to, weight}), append(to.up, near{from, weight})
			}
		}
	}
}

// sweeps is how often the vertices of all layers are ordered, and moved, by those above or below.
const sweeps = 8

// order orders the vertices in their layers so that few edges cross: each is brought near those that it is linked to, from the first layer
// to the last and back, and the best order is kept.
func (p *plan) order() {
	best, fewest := p.snapshot(), p.crossings()
	for i := 0; i < sweeps && fewest > 0; i++ {
		if i%2 == 0 {
			for _, layer := range p.layers {
				sortLayer(layer, func(v *vertex) []near { return v.up })
			}
		} else {
			for _, layer := range slices.Backward(p.layers) {
				sortLayer(layer, func(v *vertex) []near { return v.down })
			}
		}
		if n := p.crossings(); n < fewest {
			best, fewest = p.snapshot(), n
		}
	}
	p.layers = best
	for _, layer := range p.layers {
		for i, v := range layer {
			v.index = i
		}
	}
}

func (p *plan) snapshot() [][]*vertex {
	layers := make([][]*vertex, len(p.layers))
	for i, layer := range p.layers {
		layers[i] = slices.Clone(layer)
	}
	return layers
}

// sortLayer orders a layer by where the neighbours of each vertex are on average. One without any stays where it is.
func sortLayer(layer []*vertex, neighbours func(*vertex) []near) {
	const fine = 1024
	weight := make(map[*vertex]int, len(layer))
	for i, v := range layer {
		linked := neighbours(v)
		if len(linked) == 0 {
			weight[v] = i * fine
			continue
		}
		sum := 0
		for _, n := range linked {
			sum += n.index * fine
		}
		weight[v] = sum / len(linked)
	}
	slices.SortStableFunc(layer, func(a, b *vertex) int { return weight[a] - weight[b] })
	for i, v := range layer {
		v.index = i
	}
}

// crossings counts the links that cross others between layers.
func (p *plan) crossings() int {
	total := 0
	for i, layer := range p.layers[:len(p.layers)-1] {
		// Links are taken from left to right of their upper ends; each crosses those before it whose lower ends are further right.
		seen := make([]int, len(p.layers[i+1])+1) // a tree of sums (Fenwick)
		count := 0
		for _, v := range layer {
			for _, to := range v.down {
				before := 0
				for j := to.index + 1; j > 0; j -= j & -j {
					before += seen[j]
				}
				total += count - before
			}
			for _, to := range v.down {
				for j := to.index + 1; j < len(seen); j += j & -j {
					seen[j]++
				}
				count++
			}
		}
	}
	return total
}
