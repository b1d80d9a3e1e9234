package definition

import (
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
)

var (
	mutations = flag.Int("definition.mutations", 2000, "how many documents TestMutations makes")
	seed      = flag.Uint64("definition.seed", 1, "what TestMutations draws its documents from")
)

// TestMutations changes documents of the corpus at random: of what comes of it, schema and compiler say the same as TestSpecification wants
// it, and nothing panics.
func TestMutations(t *testing.T) {
	t.Parallel()
	l := readComparison(t)
	m := &mutator{random: rand.New(rand.NewPCG(*seed, 0)), by: make(map[string][]*node)}
	var all []*node
	for _, d := range corpus(t) {
		if root := new(mistakes).parse([]byte(d.text), Limits{}.WithDefaults()); root != nil {
			all = append(all, root)
			m.learn(root)
		}
	}
	slices.Sort(m.names)
	m.names = slices.Compact(m.names)
	agreed := [2]int{}
	for range *mutations {
		root := m.mutated(all[m.random.IntN(len(all))])
		got := l.judge(root.asJSON())
		if got.wrong != "" {
			t.Error(got.wrong)
		}
		if got.strict == got.compiled {
			agreed[map[bool]int{true: 1}[got.strict]]++
		}
	}
	t.Logf("schema and compiler take %d, and refuse %d of %d documents", agreed[1], agreed[0], *mutations)
	if agreed[0] < *mutations/5 || agreed[1] < *mutations/20 {
		t.Errorf("schema and compiler take only %d, and refuse %d of %d documents", agreed[1], agreed[0], *mutations)
	}
}

// mutator changes documents at random.
type mutator struct {
	random *rand.Rand
	// names are those of properties in the corpus, by has what they are there.
	names []string
	by    map[string][]*node
}

// learn takes note of what stands in a document.
func (m *mutator) learn(n *node) {
	for i, item := range n.items {
		if n.kind == objectKind {
			m.names = append(m.names, n.keys[i].name)
			m.by[n.keys[i].name] = append(m.by[n.keys[i].name], item)
		}
		m.learn(item)
	}
}

// mutated returns a changed copy of a document: at one place, or at a few.
func (m *mutator) mutated(root *node) *node {
	root = root.copied()
	for range 1 + m.random.IntN(2) {
		m.change(root)
	}
	return root
}

func (m *mutator) pick(all []*node) *node { return all[m.random.IntN(len(all))] }

// change changes a document at one place.
func (m *mutator) change(root *node) {
	all := root.inside()
	holders := slices.DeleteFunc(slices.Clone(all), func(n *node) bool { return len(n.items) == 0 })
	if len(holders) == 0 {
		return
	}
	at := m.pick(holders)
	i := m.random.IntN(len(at.items))
	switch m.random.IntN(8) {
	case 0: // leave something out
		at.items = slices.Delete(at.items, i, i+1)
		if at.kind == objectKind {
			at.keys = slices.Delete(at.keys, i, i+1)
		}
	case 1:
		if at.kind == objectKind {
			at.keys[i].name = m.renamed(at.keys[i].name)
		}
	case 2, 3:
		at.items[i] = m.another(at.items[i])
	case 4: // put a copy of something elsewhere
		what := m.pick(all).copied()
		name := what.name
		if m.random.IntN(2) == 0 {
			name = m.names[m.random.IntN(len(m.names))]
		}
		if at.items = append(at.items, what); at.kind == objectKind {
			at.keys = append(at.keys, key{name: name})
		}
	case 5: // what the same property is elsewhere
		if at.kind != objectKind {
			return
		}
		if same := m.by[at.keys[i].name]; len(same) > 0 {
			at.items[i] = m.pick(same).copied()
		}
	case 6:
		m.negate(root)
	default:
		*at.items[i] = node{kind: at.items[i].kind}
		if at.items[i].kind > stringKind {
			at.items[i].kind, at.items[i].text = nullKind, "null"
		}
	}
}

// renamed returns another name.
func (m *mutator) renamed(name string) string {
	switch m.random.IntN(3) {
	case 0:
		return name + "s"
	case 1:
		return m.names[m.random.IntN(len(m.names))]
	default:
		return ""
	}
}

// negate changes the sign of a number.
func (m *mutator) negate(root *node) {
	numbers := slices.DeleteFunc(root.inside(), func(n *node) bool { return n.kind != numberKind })
	if len(numbers) == 0 {
		return
	}
	if n := m.pick(numbers); n.text[0] == '-' {
		n.text = n.text[1:]
	} else {
		n.text = "-" + n.text
	}
}

// another returns a value of another kind.
func (m *mutator) another(n *node) *node {
	switch m.random.IntN(9) {
	case 0:
		return &node{kind: listKind, items: []*node{n}}
	case 1:
		return &node{kind: objectKind, keys: []key{{name: m.names[m.random.IntN(len(m.names))]}}, items: []*node{n}}
	case 2:
		return &node{kind: listKind, items: n.items}
	case 3:
		if len(n.items) > 0 {
			return n.items[0]
		}
		return &node{kind: objectKind}
	case 4:
		return &node{kind: stringKind, text: []string{"text", "${ .a }", "PT1S", ".a == 1", "https://example.com/{a}"}[m.random.IntN(5)]}
	case 5:
		return &node{kind: numberKind, text: []string{"0", "1", "7.5", "1000000000000"}[m.random.IntN(4)]}
	case 6:
		return &node{kind: boolKind, text: "true"}
	case 7:
		return &node{kind: nullKind, text: "null"}
	default:
		return &node{kind: listKind}
	}
}
