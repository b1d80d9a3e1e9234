package graph

import "slices"

// across gives the vertices their places from left to right: first as near to each other as they may be, then again and again each as near
// as possible to where those are that it is linked to, in the order that the layer has.
func (p *plan) across() {
	for _, layer := range p.layers {
		x := 0
		for i, v := range layer {
			if i > 0 {
				x += layer[i-1].beside + v.beside
			}
			v.x = x
			x += v.w
		}
	}
	for i := range sweeps {
		switch {
		case i == sweeps-1: // both, so that what is above and below are heard
			for _, layer := range p.layers {
				settle(layer, true, true)
			}
		case i%2 == 0:
			for _, layer := range p.layers {
				settle(layer, true, false)
			}
		default:
			for _, layer := range slices.Backward(p.layers) {
				settle(layer, false, true)
			}
		}
	}
	for _, layer := range p.layers {
		settle(layer, true, false)
	}
}

// mainFlow is how much more it counts that an edge is straight which goes on in the order of the document, and straight that for one which
// passes by layers.
const (
	mainFlow = 4
	straight = 8
)

// settle moves the vertices of a layer to where they would be best, as far as the others of the layer let them. The sum of the squares of
// what each is away from there is the least that there can be (isotonic regression, by pooling neighbours that are in each other's way).
func settle(layer []*vertex, above, below bool) {
	type pool struct{ sum, weight, count int }
	at := func(q pool) int { return floorDiv(q.sum, q.weight) }
	var pools []pool
	offset := make([]int, len(layer)) // where each would be if all before it had no distance from each other
	for i, v := range layer {
		if i > 0 {
			offset[i] = offset[i-1] + layer[i-1].w + layer[i-1].beside + v.beside
		}
		sum, weight := 0, 0
		want := func(n near, port, own int) { sum, weight = sum+n.weight*(n.x+port-own), weight+n.weight }
		if above {
			for _, n := range v.up {
				want(n, n.out, v.in)
			}
		}
		if below {
			for _, n := range v.down {
				want(n, n.in, v.out)
			}
		}
		if weight == 0 {
			sum, weight = v.x, 1
		}
		pools = append(pools, pool{sum - weight*offset[i], weight, 1})
		for n := len(pools); n > 1 && at(pools[n-2]) > at(pools[n-1]); n = len(pools) {
			q := pools[n-2]
			pools = append(pools[:n-2], pool{q.sum + pools[n-1].sum, q.weight + pools[n-1].weight, q.count + pools[n-1].count})
		}
	}
	i := 0
	for _, q := range pools {
		for range q.count {
			layer[i].x = at(q) + offset[i]
			i++
		}
	}
}

// passes tells whether a vertex is a place where edges pass by, or a label.
func (v *vertex) passes() bool { return v.box == nil }

// floorDiv divides by a positive number, and rounds down.
func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
