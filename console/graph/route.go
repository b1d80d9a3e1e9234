package graph

import (
	"cmp"
	"math"
	"slices"
)

// channel is the room above a layer, in which edges go sideways, each segment on a track.
type channel struct {
	y, h     int
	segments []*segment
	tracks   int
	straight bool // an edge goes through it
}

// segment is the part of links in a channel: from top, at x1, to bottom, at x2. The part beside all boxes is that of a lane.
type segment struct {
	from, to *vertex // nil at the end that is a lane
	lane     *lane
	x1, x2   int
	channel  *channel

	track int
	// below are the segments that have to be on lower tracks, above counts those that have to be on higher ones and have none yet, and least
	// is the first track below those that have one.
	below        []*segment
	above, least int
}

// segmentKey tells a segment from others: links that have it in common share it.
type segmentKey struct {
	from, to *vertex
	lane     *lane
}

func (s *segment) left() int  { return min(s.x1, s.x2) }
func (s *segment) right() int { return max(s.x1, s.x2) }

// Distances, in pixels.
const (
	trackHigh   = 9  // of a track from the next
	laneWide    = 11 // of a lane from the next
	aboveTracks = 11
	belowTracks = 15 // there is the head of an arrow
	portWide    = 20 // of two edges that leave a box from each other
	nearPort    = 18 // how much an edge is out of line, at most, so that it comes in where it is
	sidePort    = 14 // how far beside the middle an edge comes in from a lane
	corner      = 10 // how far from its corners edges leave a box
)

// sideways finds out which side the lanes are on, shares them, and puts the segments of all links into the channels, with their ends.
func (p *plan) sideways() {
	p.channels = make([]*channel, len(p.layers)+1)
	for i := range p.channels {
		p.channels[i] = &channel{}
	}
	least, most := p.extent()
	p.shareLanes(least, most)
	p.placeLanes(least, most)
	p.segments()
	for _, c := range p.channels {
		c.assign()
	}
}

// extent is how far the vertices go to the left and right.
func (p *plan) extent() (least, most int) {
	least, most = math.MaxInt, math.MinInt
	for _, layer := range p.layers {
		for _, v := range layer {
			least, most = min(least, v.x), max(most, v.x+v.w)
		}
	}
	return least, most
}

// shareLanes has links that lead to one box on the same side share a lane.
func (p *plan) shareLanes(least, most int) {
	type key struct {
		to   *vertex
		kind EdgeKind
		left bool
	}
	shared := make(map[key]*lane)
	for _, k := range p.links {
		if k.lane == nil {
			continue
		}
		k.lane.left = k.from.x+k.from.out+k.to.x+k.to.in < least+most
		id := key{k.to, k.lane.kind, k.lane.left}
		first, last := k.from.layer+1, k.to.layer
		if first > last {
			first, last = last, first
		}
		if s := shared[id]; s != nil {
			s.first, s.last = min(s.first, first), max(s.last, last)
			k.lane = s
			continue
		}
		k.lane.first, k.lane.last = first, last
		shared[id] = k.lane
		p.lanes = append(p.lanes, k.lane)
	}
}

// placeLanes gives each lane the first column that is free, the short ones first.
func (p *plan) placeLanes(least, most int) {
	sorted := slices.Clone(p.lanes)
	slices.SortStableFunc(sorted, func(a, b *lane) int { return cmp.Compare(a.last-a.first, b.last-b.first) })
	taken := map[bool][][]*lane{}
	for _, l := range sorted {
		columns := taken[l.left]
		l.column = slices.IndexFunc(columns, func(column []*lane) bool {
			return !slices.ContainsFunc(column, func(o *lane) bool { return o.first <= l.last && l.first <= o.last })
		})
		if l.column < 0 {
			l.column = len(columns)
			columns = append(columns, nil)
		}
		columns[l.column] = append(columns[l.column], l)
		taken[l.left] = columns
		if l.left {
			l.x = least - laneWide*(l.column+1)
		} else {
			l.x = most + laneWide*(l.column+1)
		}
	}
}

// segments puts the segments of all links into the channels. What several links have in common is one segment.
func (p *plan) segments() {
	p.made = make(map[segmentKey]*segment)
	leaving := make(map[*vertex][]*segment)
	add := func(from, to *vertex, l *lane, layer int) {
		id := segmentKey{from, to, l}
		if p.made[id] != nil {
			return
		}
		s := &segment{from: from, to: to, lane: l, channel: p.channels[layer]}
		p.made[id] = s
		s.channel.segments = append(s.channel.segments, s)
		if from != nil {
			leaving[from] = append(leaving[from], s)
		}
		if to != nil {
			s.x2 = to.x + to.in
		}
	}
	for _, k := range p.links {
		for i := range max(len(k.path)-1, 0) {
			add(k.path[i], k.path[i+1], nil, k.path[i+1].layer)
		}
		if k.lane != nil {
			add(k.from, nil, k.lane, k.from.layer+1)
			add(nil, k.to, k.lane, k.to.layer)
		}
	}
	for _, layer := range p.layers {
		for _, v := range layer {
			v.ports(leaving[v])
		}
	}
	for _, c := range p.channels {
		for _, s := range c.segments {
			s.comeIn()
		}
	}
}

// ports spreads the edges that leave a vertex along its bottom, by where they lead.
func (v *vertex) ports(leaving []*segment) {
	toward := func(s *segment) int {
		switch {
		case s.lane == nil:
			return s.x2
		case s.lane.left:
			return math.MinInt
		default:
			return math.MaxInt
		}
	}
	slices.SortStableFunc(leaving, func(a, b *segment) int { return cmp.Compare(toward(a), toward(b)) })
	room := 0
	if v.box != nil {
		room = max(0, min(v.out, v.w-v.out)-corner) * 2
	}
	for i, s := range leaving {
		s.x1 = v.x + v.out
		if n := len(leaving); n > 1 {
			spread := min(room, portWide*(n-1))
			s.x1 += spread*i/(n-1) - spread/2
		}
		if s.to == nil {
			s.x2 = s.lane.x
		}
	}
	// Of several, one that leads straight down does so from the middle.
	middle := v.x + v.out
	for i, s := range leaving {
		free := (i == 0 || leaving[i-1].x1 < middle) && (i == len(leaving)-1 || leaving[i+1].x1 > middle)
		if s.lane == nil && s.x2 == middle && free {
			s.x1 = middle
		}
	}
}

// comeIn lets an edge that is a little out of line come in where it is, and one from a lane beside the middle.
func (s *segment) comeIn() {
	if s.from == nil {
		s.x1 = s.lane.x
		if s.to.box != nil {
			side := min(sidePort, max(0, min(s.to.in, s.to.w-s.to.in)-corner/2))
			if s.lane.left {
				side = -side
			}
			s.x2 += side
		}
		return
	}
	if s.to == nil || s.to.box == nil {
		return
	}
	if off := s.x1 - s.x2; max(off, -off) <= nearPort && s.x1 >= s.to.x+corner && s.x1 <= s.to.x+s.to.w-corner {
		s.x2 = s.x1
	}
}

// assign gives each segment of a channel that goes sideways a track. Those that would lie on each other get different ones, and where one
// comes down from above at the place where another leaves to below, its track is above that of the other.
func (c *channel) assign() {
	var all []*segment
	starts := make(map[int][]*segment) // by where they come from above
	for _, s := range c.segments {
		if s.x1 == s.x2 {
			c.straight = true
			continue
		}
		all = append(all, s)
		if s.from != nil {
			starts[s.x1] = append(starts[s.x1], s)
		}
	}
	slices.SortStableFunc(all, func(a, b *segment) int { return cmp.Compare(b.right()-b.left(), a.right()-a.left()) }) // long ones above
	for _, s := range all {
		if s.to == nil {
			continue
		}
		const near = 5
		for x := s.x2 - near; x <= s.x2+near; x++ {
			for _, o := range starts[x] {
				if o != s && (o.to == nil || o.to != s.to) {
					o.below = append(o.below, s)
					s.above++
				}
			}
		}
	}
	var tracks [][]*segment
	for len(all) > 0 {
		i := max(slices.IndexFunc(all, func(s *segment) bool { return s.above == 0 }), 0) // of a circle any
		s := all[i]
		all = slices.Delete(all, i, i+1)
		s.track = s.least
		for s.track < len(tracks) && slices.ContainsFunc(tracks[s.track], s.covers) {
			s.track++
		}
		for s.track >= len(tracks) {
			tracks = append(tracks, nil)
		}
		tracks[s.track] = append(tracks[s.track], s)
		for _, o := range s.below {
			o.above--
			o.least = max(o.least, s.track+1)
		}
	}
	c.tracks = len(tracks)
}

// covers tells whether two segments can't be on one track: those that lead to one place can, and those that come from one.
func (s *segment) covers(o *segment) bool {
	const near = 6
	if s.to != nil && s.to == o.to && s.x2 == o.x2 || s.from != nil && s.from == o.from && s.x1 == o.x1 {
		return false
	}
	return s.left() < o.right()+near && o.left() < s.right()+near
}

// downwards gives layers and channels their places from top to bottom.
func (p *plan) downwards(ends bool) {
	y := 0
	for i, c := range p.channels {
		c.y = y
		switch last := i == len(p.channels)-1; {
		case last && c.tracks > 0:
			c.h = aboveTracks + trackHigh*c.tracks
		case c.tracks > 0:
			c.h = aboveTracks + trackHigh*(c.tracks-1) + belowTracks
		case c.straight:
			c.h = aboveTracks + belowTracks
		case last && !ends:
			c.h = margin
		case !last && i > 0 && len(p.layers[i]) > 0:
			c.h = margin // nothing leads there
		}
		y += c.h
		if i == len(p.layers) {
			return
		}
		high := 0
		for _, v := range p.layers[i] {
			v.y = y
			high = max(high, v.h)
		}
		y += high
	}
}

// block makes the routes, moves everything so that it begins at 0, and tells how large it is.
func (p *plan) block() *block {
	for _, k := range p.links {
		if k.lane != nil {
			out, in := p.made[segmentKey{k.from, nil, k.lane}], p.made[segmentKey{nil, k.to, k.lane}]
			k.route.start(k.from, out.x1)
			k.route.add(point{out.x1, out.y()}, point{out.x2, out.y()}, point{in.x1, in.y()}, point{in.x2, in.y()}, point{in.x2, k.to.y})
		}
		for i := range max(len(k.path)-1, 0) {
			s := p.made[segmentKey{from: k.path[i], to: k.path[i+1]}]
			k.route.start(s.from, s.x1)
			k.route.add(point{s.x1, s.y()}, point{s.x2, s.y()}, point{s.x2, s.to.y})
		}
	}
	return p.normal()
}

func (s *segment) y() int { return s.channel.y + aboveTracks + trackHigh*s.track }

// start begins a route, or goes on with it, below a vertex.
func (r *route) start(v *vertex, x int) {
	r.add(point{x, v.y + v.h})
}

// add adds points, and leaves out those that lie on a line between others.
func (r *route) add(points ...point) {
	for _, q := range points {
		n := len(r.points)
		if n > 0 && r.points[n-1] == q {
			continue
		}
		if n > 1 && (r.points[n-2].x == q.x && r.points[n-1].x == q.x && between(r.points[n-2].y, r.points[n-1].y, q.y) ||
			r.points[n-2].y == q.y && r.points[n-1].y == q.y && between(r.points[n-2].x, r.points[n-1].x, q.x)) {
			r.points[n-1] = q
			continue
		}
		r.points = append(r.points, q)
	}
}

func between(a, b, c int) bool { return a <= b && b <= c || a >= b && b >= c }

// normal moves everything so that it begins at 0, and gives boxes and labels their places.
func (p *plan) normal() *block {
	least, most := p.extent()
	for _, l := range p.lanes {
		least, most = min(least, l.x-laneWide/2), max(most, l.x+laneWide/2)
	}
	if least > most { // nothing is in it
		least, most = 0, 0
	}
	last := p.channels[len(p.channels)-1]
	k := &block{w: most - least, h: last.y + last.h, routes: p.routes, in: p.begin.x - least, out: p.end.x - least}
	for _, layer := range p.layers {
		for _, v := range layer {
			v.x -= least
			switch {
			case v.box != nil:
				v.box.x, v.box.y = v.x, v.y
			case v.label != nil:
				v.label.label = rect{v.x, v.y, v.w, v.h}
			}
		}
	}
	for _, r := range p.routes {
		for i := range r.points {
			r.points[i].x -= least
		}
	}
	return k
}
