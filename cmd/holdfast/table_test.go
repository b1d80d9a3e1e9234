package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// tabled prints a table on a terminal of a width; 0: to a file.
func tabled(width int, environ []string, show func(*app) *table) (stdout, stderr string, err error) {
	var out, notes bytes.Buffer
	a := &app{
		stdout: &out, stderr: &notes, environ: func() []string { return environ }, terminal: func(io.Writer) int { return width },
	}
	err = show(a).end()
	return out.String(), notes.String(), err
}

func listing(a *app) *table {
	t := a.newTable(whole("ID"), cut("DEFINITION"), whole("STATUS"), spare("KEY"), cut("ACCEPTED AT"), spare("ENDED AT"))
	t.row("0190c2f4-0000-7000-8000-000000000001", "telecom/activate-mobile:1.0.0", "completed", "491701234567",
		"2026-01-02T03:04:05.678Z", "2026-01-02T03:04:07.678Z")
	t.row("a", "t/\u6771\u4eac:1.0.0", "faulted", "", "2026-01-02T03:04:05.678Z", "")
	return t
}

func TestTableFitsTheTerminal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		width       int
		want, notes string
	}{
		{0, "" +
			"ID                                    DEFINITION                     STATUS     KEY           ACCEPTED AT               ENDED AT\n" +
			"0190c2f4-0000-7000-8000-000000000001  telecom/activate-mobile:1.0.0  completed  491701234567  2026-01-02T03:04:05.678Z  2026-01-02T03:04:07.678Z\n" +
			"a                                     t/\u6771\u4eac:1.0.0                   faulted                  2026-01-02T03:04:05.678Z\n", ""},
		{120, "" +
			"ID                                    DEFINITION          STATUS     KEY           ACCEPTED AT     ENDED AT\n" +
			"0190c2f4-0000-7000-8000-000000000001  telecom/activate-…  completed  491701234567  01-02 03:04:05  01-02 03:04:07\n" +
			"a                                     t/\u6771\u4eac:1.0.0        faulted                  01-02 03:04:05\n", ""},
		{
			80, "" +
				"ID                                    DEFINITION       STATUS     ACCEPTED AT\n" +
				"0190c2f4-0000-7000-8000-000000000001  telecom/activa…  completed  01-02 03:04:05\n" +
				"a                                     t/\u6771\u4eac:1.0.0     faulted    01-02 03:04:05\n",
			"no room for ENDED AT, KEY: widen the terminal, or use -o json\n",
		},
	} {
		stdout, stderr, err := tabled(tt.width, []string{"NO_COLOR=1"}, listing)
		if stdout != tt.want || stderr != tt.notes || err != nil {
			t.Errorf("width %d: %v\n%s\nwant\n%s\n%s\nwant %s", tt.width, err, stdout, tt.want, stderr, tt.notes)
		}
	}
}

// What is needed next is told on a narrow terminal too, and texts can be read there.
func TestTableTellsTextsBeneath(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		width int
		want  string
	}{
		{200, "" +
			"ORDERS  TASK         ERROR                DETAIL                                                        NEWEST                    EXAMPLE\n" +
			"2       /do/2/first  Communication error  nobody answered within 30s: what is said in words takes room  2026-01-02T03:04:05.678Z" +
			"  0190c2f4-0000-7000-8000-000000000001\n"},
		{130, "" +
			"ORDERS  TASK         ERROR                NEWEST                    EXAMPLE\n" +
			"  DETAIL\n" +
			"2       /do/2/first  Communication error  2026-01-02T03:04:05.678Z  0190c2f4-0000-7000-8000-000000000001\n" +
			"  nobody answered within 30s: what is said in words takes room\n"},
		{66, "" +
			"ORDERS  TASK         EXAMPLE\n" +
			"  ERROR  DETAIL\n" +
			"2       /do/2/first  0190c2f4-0000-7000-8000-000000000001\n" +
			"  Communication error  nobody answered within 30s: what is said in\n" +
			"  words takes room\n"},
	} {
		stdout, _, err := tabled(tt.width, []string{"NO_COLOR=1"}, func(a *app) *table {
			t := a.newTable(whole("ORDERS"), cut("TASK"), below("ERROR"), below("DETAIL"), spare("NEWEST"), whole("EXAMPLE"))
			t.row("2", "/do/2/first", "Communication error", "nobody answered within 30s: what is said in words takes room",
				"2026-01-02T03:04:05.678Z", "0190c2f4-0000-7000-8000-000000000001")
			return t
		})
		if stdout != tt.want || err != nil {
			t.Errorf("width %d: %v\n%s\nwant\n%s", tt.width, err, stdout, tt.want)
		}
	}
}

func TestRecordWraps(t *testing.T) {
	t.Parallel()
	stdout, _, err := tabled(30, []string{"TERM=dumb"}, func(a *app) *table {
		r := a.newRecord()
		r.row("id", "a")
		r.row("error", "what is wrong is told in words, and nothing-is-left-out-of-it")
		return r
	})
	const want = "" +
		"id     a\n" +
		"error  what is wrong is told\n" +
		"       in words, and\n" +
		"       nothing-is-left-out-of-\n" +
		"       it\n"
	if stdout != want || err != nil {
		t.Errorf("%v\n%s\nwant\n%s", err, stdout, want)
	}
}

func TestTableColours(t *testing.T) {
	t.Parallel()
	stdout, _, err := tabled(200, []string{"TERM=xterm", "NO_COLOR="}, listing)
	if err != nil || !strings.HasPrefix(stdout, bold+"ID"+plain+" ") || !strings.Contains(stdout, "  "+green+"completed"+plain+"  491") ||
		!strings.Contains(stdout, "  "+red+"faulted"+plain+"  ") {
		t.Errorf("%v\n%q", err, stdout)
	}
	for _, tt := range []struct {
		width   int
		environ string
	}{{0, ""}, {200, "NO_COLOR=1"}, {200, "TERM=dumb"}} {
		if stdout, _, _ := tabled(tt.width, []string{tt.environ}, listing); strings.Contains(stdout, "\x1b") {
			t.Errorf("%+v: %q", tt, stdout)
		}
	}
}

// No line is wider than the terminal, unless what must be told whole is; and nothing is lost of what wraps.
func TestTableWidths(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		width := rapid.IntRange(50, 200).Draw(r, "width")
		cell := rapid.OneOf(rapid.StringN(0, 40, -1), rapid.Just("2026-01-02T03:04:05.678Z"), rapid.StringMatching(`[a-z ]{0,300}`))
		var last []string
		stdout, _, err := tabled(width, []string{"NO_COLOR=1"}, func(a *app) *table {
			table := a.newTable(whole("A"), cut("B"), spare("C"), wrap("D"))
			for range rapid.IntRange(0, 5).Draw(r, "rows") {
				d := cell.Draw(r, "d")
				last = append(last, d)
				table.row(rapid.StringMatching(`[a-z]{0,10}`).Draw(r, "a"), cell.Draw(r, "b"), cell.Draw(r, "c"), d)
			}
			return table
		})
		if err != nil || !utf8.ValidString(stdout) {
			r.Fatalf("%v %q", err, stdout)
		}
		for line := range strings.Lines(stdout) {
			if n := columnsOf(strings.TrimSuffix(line, "\n")); n > width {
				r.Fatalf("a line of %d columns on a terminal of %d:\n%s", n, width, stdout)
			}
		}
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
		all := squeeze(stdout)
		for _, d := range last {
			for word := range strings.FieldsSeq(clean(d)) {
				if len(word) <= 10 && !strings.Contains(all, word) {
					r.Fatalf("%q is lost in\n%s", word, stdout)
				}
			}
		}
	})
}
