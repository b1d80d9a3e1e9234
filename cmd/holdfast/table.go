package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strings"
	"unicode"

	"golang.org/x/text/width"

	"github.com/holdfast-run/holdfast/client/shown"
)

// column is a column of a table, and what becomes of it where a terminal has no room for all.
type column struct {
	name string
	fit  fitting
}

// fitting says what becomes of a column for which there is no room.
type fitting int

const (
	// stays: it is told whole, such as what is copied to the next command.
	stays fitting = iota
	// shortens: its cells end with an ellipsis.
	shortens
	// goes: it shortens, and is left out at last, the one furthest to the right first.
	goes
	// staysOrGoes: it is told whole or not at all.
	staysOrGoes
	// wraps: its cells go on in further lines.
	wraps
	// beneath: they do so, or are told in lines of their own beneath the row, where only a narrow column would be left.
	beneath
)

func whole(name string) column { return column{name, stays} }
func cut(name string) column   { return column{name, shortens} }
func spare(name string) column { return column{name, goes} }
func extra(name string) column { return column{name, staysOrGoes} }
func wrap(name string) column  { return column{name, wraps} }
func below(name string) column { return column{name, beneath} }

// table prints rows in columns, no wider than the terminal if there is one. Cells are cleaned.
type table struct {
	out     io.Writer
	notes   io.Writer // for what could not be shown
	width   int       // of the terminal; 0: there is none
	colours bool
	columns []column
	header  bool
	rows    [][]string // held
	bytes   int        // that the rows have
	most    int        // lines of a cell on a terminal; 0: as many as it takes
	under   []int      // the columns that are told beneath the rows
	spans   []span     // of a table whose rows are printed as they come; else nil: they follow from the rows
	left    []string   // the columns that were left out
	err     error
}

const (
	// maxRows is how many rows are aligned with each other: as many as a table holds before it prints them, unless they have
	// maxBytes before.
	maxRows  = 1000
	maxBytes = 1 << 20
	// maxLines is how many lines of a terminal a value takes at most.
	maxLines = 20
	// readable is the least width of a column whose texts are told beside the others.
	readable = 30
	// indent is the space before what is told beneath.
	indent = 2
	// gap is the space between columns.
	gap = 2
	// narrow is the least width of a column that is shortened, unless its cells are shorter; of times it is narrowTime.
	narrow     = 12
	narrowTime = len("15:04:05")
)

// newTable makes a table with a header.
func (a *app) newTable(columns ...column) *table {
	t := a.newRecord()
	t.columns, t.header, t.most = columns, true, 0
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	t.rows = append(t.rows, names)
	return t
}

// newRecord makes a table of names and values, a row for each.
func (a *app) newRecord() *table {
	return &table{
		out: a.stdout, notes: a.stderr, width: a.terminal(a.stdout), colours: a.colours(a.stdout),
		columns: []column{whole(""), wrap("")}, most: maxLines,
	}
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = clean(cell)
		t.bytes += len(cells[i])
	}
	if t.rows = append(t.rows, cells); len(t.rows) >= maxRows || t.bytes >= maxBytes || t.spans != nil {
		t.flush()
	}
}

// flush prints the rows that are held.
func (t *table) flush() {
	widths := t.fitted()
	var b strings.Builder
	for i, cells := range t.rows {
		t.print(&b, cells, widths, t.header && i == 0)
	}
	if _, err := io.WriteString(t.out, b.String()); err != nil {
		t.err = err
	}
	t.rows, t.bytes, t.header = t.rows[:0], 0, false
}

// follow has rows printed as they come, in columns that are usually as wide as this. Those that are times are 24 wide.
func (t *table) follow(widths ...int) {
	for i, w := range widths {
		t.spans = append(t.spans, t.spanOf(i, w, w == len(shown.TimeLayout)))
	}
}

// end prints what is left. It returns what went wrong since the beginning.
func (t *table) end() error {
	if t == nil {
		return nil // it is JSON that is printed
	}
	if t.flush(); t.err != nil {
		return fmt.Errorf("write answer: %w", t.err)
	}
	if len(t.left) > 0 {
		fmt.Fprintf(t.notes, "no room for %s: widen the terminal, or use -o json\n", strings.Join(t.left, ", "))
	}
	return nil
}

// fitted returns the widths of the columns; -1: it is left out.
func (t *table) fitted() []int {
	spans := slices.Clone(t.spans)
	for i := len(spans); i < len(t.columns); i++ {
		spans = append(spans, t.span(i))
	}
	if t.width == 0 {
		return capped(spans, math.MaxInt)
	}
	t.setAside(spans)
	for i := len(spans) - 1; i >= 0 && total(capped(spans, 0)) > t.width; i-- {
		if fit := t.columns[i].fit; fit == goes || fit == staysOrGoes {
			spans[i] = span{natural: -1, least: -1}
			if !slices.Contains(t.left, t.columns[i].name) && !t.isEmpty(i) {
				t.left = append(t.left, t.columns[i].name)
			}
		}
	}
	return t.shared(spans)
}

// shared returns the widths of columns that share the terminal.
func (t *table) shared(spans []span) []int {
	limit := sort.Search(t.width, func(n int) bool { return total(capped(spans, n+1)) > t.width })
	return capped(spans, limit)
}

// setAside finds the columns that are told beneath the rows, and leaves them out of those that share the terminal.
func (t *table) setAside(spans []span) {
	t.under = t.under[:0]
	for i := len(spans) - 1; i >= 0; i-- {
		if t.columns[i].fit == beneath && t.shared(spans)[i] < min(spans[i].natural, readable) {
			spans[i] = span{natural: -1, least: -1}
			t.under = slices.Insert(t.under, 0, i)
		}
	}
}

// isEmpty tells whether nothing is told in a column.
func (t *table) isEmpty(i int) bool {
	for j, cells := range t.rows {
		if cells[i] != "" && (j > 0 || !t.header) {
			return false
		}
	}
	return true
}

// span is how wide a column would be, and may be at least.
type span struct {
	natural, least int
	times          bool // it has nothing else
}

// span is that of a column by its rows.
func (t *table) span(i int) span {
	natural, times := 0, true
	for j, cells := range t.rows {
		natural = max(natural, columnsOf(cells[i]))
		times = times && (j == 0 && t.header || cells[i] == "" || isTime(cells[i]))
	}
	return t.spanOf(i, natural, times)
}

func (t *table) spanOf(i, natural int, times bool) span {
	s := span{natural: natural, times: times}
	switch name := columnsOf(t.columns[i].name); {
	case t.columns[i].fit == stays, t.columns[i].fit == staysOrGoes:
		s.least = s.natural
	case s.times:
		s.least = min(s.natural, max(narrowTime, name))
	default:
		s.least = min(s.natural, narrow)
	}
	return s
}

// capped returns the widths of columns none of which is wider than the limit, unless it must be.
func capped(spans []span, limit int) []int {
	out := make([]int, len(spans))
	for i, s := range spans {
		out[i] = min(s.natural, max(limit, s.least))
		if s.times && out[i] < s.natural { // no wider than the form of the times that will fit
			for _, form := range timeForms {
				if out[i] >= form {
					out[i] = max(form, s.least)
					break
				}
			}
		}
	}
	return out
}

// total is the width of a table whose columns have these widths.
func total(widths []int) int {
	sum := -gap
	for _, w := range widths {
		if w >= 0 {
			sum += w + gap
		}
	}
	return sum
}

// print prints a row, in as many lines as it takes.
func (t *table) print(b *strings.Builder, cells []string, widths []int, header bool) {
	rest := slices.Clone(cells)
	more := true
	for line := 1; more; line++ {
		more = false
		pending := 0 // spaces that come before what comes next
		for i, w := range widths {
			if w < 0 {
				continue
			}
			var text string
			text, rest[i] = t.take(i, rest[i], w)
			if line == t.most && rest[i] != "" {
				text, rest[i] = shortenTo(fmt.Sprintf("… %d bytes in all: -o json tells them", len(cells[i])), w), ""
			}
			if text != "" {
				b.WriteString(strings.Repeat(" ", pending))
				b.WriteString(t.coloured(i, cells, text, header))
				pending = 0
			}
			pending += w - columnsOf(text) + gap
			more = more || rest[i] != ""
		}
		b.WriteByte('\n')
	}
	t.printBeneath(b, cells, header)
}

// printBeneath prints what is told beneath a row.
func (t *table) printBeneath(b *strings.Builder, cells []string, header bool) {
	var told []string
	for _, i := range t.under {
		if cells[i] != "" {
			told = append(told, cells[i])
		}
	}
	for rest := strings.Join(told, strings.Repeat(" ", gap)); rest != ""; {
		var text string
		text, rest = split(rest, t.width-indent)
		if header && t.colours {
			text = bold + text + plain
		}
		b.WriteString(strings.Repeat(" ", indent) + text + "\n")
	}
}

// take returns what of a cell fits into a line, and what is left for the next.
func (t *table) take(i int, cell string, most int) (text, rest string) {
	if fit := t.columns[i].fit; fit == wraps || fit == beneath {
		return split(cell, most)
	}
	return shortenTo(cell, most), ""
}

// split returns what of a text fits into a line, and what is left for the next. It looks at no more of the text than that.
func split(text string, most int) (line, rest string) {
	end := prefix(text, most)
	if end == len(text) {
		return text, ""
	}
	if space := strings.LastIndexByte(text[:end], ' '); space > 0 && text[end] != ' ' {
		end = space
	}
	return strings.TrimRight(text[:end], " "), strings.TrimLeft(text[end:], " ")
}

// coloured adds the colour that a cell has.
func (t *table) coloured(i int, cells []string, text string, header bool) string {
	if !t.colours {
		return text
	}
	style := ""
	switch name := t.columns[i].name; {
	case header:
		style = bold
	case name == "STATUS", name == "TYPE", name == "RESULT", name == "" && i == 1 && cells[0] == "status":
		style = styleOf(cells[i])
	case name == "" && i == 1 && (cells[0] == "attention" && cells[1] != calm || cells[0] == "error"):
		style = red
	}
	if style == "" {
		return text
	}
	return style + text + plain
}

// isTime tells whether a cell is a time as shown.TimeText writes it.
func isTime(cell string) bool {
	return len(cell) == len(shown.TimeLayout) && cell[10] == 'T' && cell[len(cell)-1] == 'Z'
}

// timeForms are the widths of the forms in which shortenTo tells times.
var timeForms = []int{19, 14, narrowTime} //nolint:gochecknoglobals // a constant

// shortenTo makes a text fit into so many columns. Of a time the day of the year and the time of day are told first.
func shortenTo(text string, most int) string {
	if columnsOf(text) <= most {
		return text
	}
	if isTime(text) {
		for _, shorter := range []string{text[:10] + " " + text[11:19], text[5:10] + " " + text[11:19], text[11:19]} {
			if len(shorter) <= most {
				return shorter
			}
		}
	}
	return text[:prefix(text, most-1)] + "…"
}

// prefix returns the length in bytes of the longest beginning of a text that fits into so many columns, and is not empty.
func prefix(text string, most int) int {
	used := 0
	for i, r := range text {
		if used += columnsOfRune(r); used > most && i > 0 {
			return i
		}
	}
	return len(text)
}

// columnsOf returns how many columns of a terminal a text takes.
func columnsOf(text string) (n int) {
	for _, r := range text {
		n += columnsOfRune(r)
	}
	return n
}

func columnsOfRune(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
		return 2
	}
	return 1
}
