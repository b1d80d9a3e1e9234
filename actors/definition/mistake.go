package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// maxMistakes is how many mistakes are told at once.
const maxMistakes = 100

// mistakes collects what is wrong with a document, and what only looks so: the warnings.
type mistakes struct {
	list []*definitionv1.Mistake
	seen map[string]bool
	// count and dropped are how many there are of each severity, and how many more there would be.
	count, dropped [3]int
	// stored: the document was taken before, perhaps by an earlier version, and keeps the meaning that it had.
	stored bool
	// lines are those of the document. The YAML parser puts what is missing at its end behind them.
	lines int
	// wanted is what the document is to be, for messages; empty: a workflow definition.
	wanted string
}

// atf adds a mistake at a node. The same mistake at the same place counts once: a function is compiled for each call.
func (m *mistakes) atf(n *node, format string, args ...any) {
	m.noteAtf(definitionv1.Severity_SEVERITY_ERROR, n, nil, format, args...)
}

// newlyf adds a mistake that earlier versions did not tell: what they have taken is taken still.
func (m *mistakes) newlyf(n *node, format string, args ...any) {
	if !m.stored {
		m.atf(n, format, args...)
	}
}

// atKeyf adds a mistake at the name of a property.
func (m *mistakes) atKeyf(n *node, k key, format string, args ...any) {
	m.noteAtf(definitionv1.Severity_SEVERITY_ERROR, n, &k, format, args...)
}

// warnf adds a warning at a node.
func (m *mistakes) warnf(n *node, format string, args ...any) {
	m.noteAtf(definitionv1.Severity_SEVERITY_WARNING, n, nil, format, args...)
}

// warnKeyf adds a warning at the name of a property.
func (m *mistakes) warnKeyf(n *node, k key, format string, args ...any) {
	m.noteAtf(definitionv1.Severity_SEVERITY_WARNING, n, &k, format, args...)
}

// noteAtf notes something at a node, or at the name of a property of it.
func (m *mistakes) noteAtf(severity definitionv1.Severity, n *node, k *key, format string, args ...any) {
	at := n.line
	if k != nil {
		at = k.line
	}
	line, column, pointer, in := n.place(at)
	if k != nil && in == "" {
		line, column, pointer = k.line, k.column, pointer+"/"+messages.EscapePointer(k.name)
	}
	m.note(severity, line, column, pointer, fmt.Sprintf(format, args...)+in)
}

func (m *mistakes) add(line, column int, path, message string) {
	m.note(definitionv1.Severity_SEVERITY_ERROR, line, column, path, message)
}

// failed tells whether anything is wrong: warnings don't count.
func (m *mistakes) failed() bool { return m.count[definitionv1.Severity_SEVERITY_ERROR] > 0 }

func (m *mistakes) note(severity definitionv1.Severity, line, column int, path, message string) {
	line = min(line, m.lines)
	id := fmt.Sprintf("%d:%d:%s", line, column, message)
	if m.seen[id] {
		return
	}
	if m.count[severity] == maxMistakes {
		m.dropped[severity]++
		return
	}
	m.count[severity]++
	if m.seen == nil {
		m.seen = make(map[string]bool)
	}
	m.seen[id] = true
	m.list = append(m.list, &definitionv1.Mistake{
		Line:     int32(line),   //nolint:gosec // documents are far smaller
		Column:   int32(column), //nolint:gosec // documents are far smaller
		Path:     path,
		Severity: severity,
		Message:  strings.ToValidUTF8(message, "\uFFFD"),
	})
}

// sorted returns the mistakes and warnings in the order of the document.
func (m *mistakes) sorted() []*definitionv1.Mistake {
	slices.SortStableFunc(m.list, func(a, b *definitionv1.Mistake) int {
		return cmp.Or(cmp.Compare(a.GetLine(), b.GetLine()), cmp.Compare(a.GetColumn(), b.GetColumn()))
	})
	for _, severity := range []definitionv1.Severity{definitionv1.Severity_SEVERITY_ERROR, definitionv1.Severity_SEVERITY_WARNING} {
		what := "mistakes"
		if severity == definitionv1.Severity_SEVERITY_WARNING {
			what = "warnings"
		}
		if more := m.dropped[severity]; more > 0 {
			m.list = append(m.list, &definitionv1.Mistake{
				Severity: severity, Message: fmt.Sprintf("there are %d more %s: mend these first", more, what),
			})
			m.dropped[severity] = 0
		}
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

// similar returns the candidate that word may have been meant to be, or "". The shorter a word is, the fewer letters may
// differ: of short ones, everything is similar to something.
func similar(word string, candidates []string) string {
	best, least := "", 2*len(word)+2
	for _, c := range candidates {
		longer := max(len(word), len(c))
		if longer > 64 || word == "" || c == "" {
			continue
		}
		d := distance(strings.ToLower(word), strings.ToLower(c))
		switch {
		case longer >= 8 && d <= 2, longer >= 4 && d <= 1, longer == 3 && d <= 1 && word[0] == c[0], d == 0:
			if d += distance(word, c); d < least { // of two, the one in the same letter case
				best, least = c, d
			}
		}
	}
	return best
}

// distance is how many letters must be put in, left out, changed, or exchanged with the next to make b of a: the optimal
// string alignment, in bytes.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
