package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// maxMistakes is how many mistakes are told at once.
const maxMistakes = 100

// mistakes collects what is wrong with a document.
type mistakes struct {
	list    []*definitionv1.Mistake
	seen    map[string]bool
	dropped int
	// lines are those of the document. The YAML parser puts what is missing at its end behind them.
	lines int
}

// atf adds a mistake at a node. The same mistake at the same place counts once: a function is compiled for each call.
func (m *mistakes) atf(n *node, format string, args ...any) {
	m.add(n.line, n.column, n.pointer(), fmt.Sprintf(format, args...))
}

// atKeyf adds a mistake at the name of a property.
func (m *mistakes) atKeyf(n *node, k key, format string, args ...any) {
	m.add(k.line, k.column, n.pointer()+"/"+escapePointer(k.name), fmt.Sprintf(format, args...))
}

func (m *mistakes) add(line, column int, path, message string) {
	line = min(line, m.lines)
	id := fmt.Sprintf("%d:%d:%s", line, column, message)
	if m.seen[id] {
		return
	}
	if len(m.list) == maxMistakes {
		m.dropped++
		return
	}
	if m.seen == nil {
		m.seen = make(map[string]bool)
	}
	m.seen[id] = true
	m.list = append(m.list, &definitionv1.Mistake{
		Line:    int32(line),   //nolint:gosec // documents are far smaller
		Column:  int32(column), //nolint:gosec // documents are far smaller
		Path:    path,
		Message: strings.ToValidUTF8(message, "\uFFFD"),
	})
}

// sorted returns the mistakes in the order of the document.
func (m *mistakes) sorted() []*definitionv1.Mistake {
	slices.SortStableFunc(m.list, func(a, b *definitionv1.Mistake) int {
		return cmp.Or(cmp.Compare(a.GetLine(), b.GetLine()), cmp.Compare(a.GetColumn(), b.GetColumn()))
	})
	if m.dropped > 0 {
		m.list = append(m.list, &definitionv1.Mistake{
			Message: fmt.Sprintf("there are %d more mistakes: mend these first", m.dropped),
		})
		m.dropped = 0
	}
	return m.list
}

// quoted lists words for people: "a", "b" or "c".
func quoted(words []string) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i > 0 && i == len(words)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", w)
	}
	return b.String()
}

// similar returns the candidate that word may have been meant to be, or "".
func similar(word string, candidates []string) string {
	best, least := "", 3 // at most two typing errors
	for _, c := range candidates {
		if len(word) > 64 || len(c) > 64 {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < least && d < len(c) {
			best, least = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
