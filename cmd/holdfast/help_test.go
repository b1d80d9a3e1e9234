package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Help fits the terminal, whichever command it is about.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	for _, width := range []int{80, 200} {
		f := &fake{t: t, width: width}
		var visit func(*cobra.Command)
		visit = func(cmd *cobra.Command) {
			args := strings.Fields(cmd.CommandPath() + " --help")[1:]
			o := f.run(args...)
			if o.status != 0 || o.stderr != "" || !strings.Contains(o.stdout, "Usage:\n") {
				t.Errorf("%v: %+v", args, o)
			}
			for line := range strings.Lines(o.stdout) {
				if n := columnsOf(strings.TrimSuffix(line, "\n")); n > width && !strings.HasPrefix(line, "  ") {
					t.Errorf("%v: a line of %d columns, of %d: %s", args, n, width, line)
				}
			}
			for _, sub := range cmd.Commands() {
				visit(sub)
			}
		}
		visit(newRoot(&app{environ: func() []string { return nil }, terminal: noTerminal}))
	}
}

func TestReflow(t *testing.T) {
	t.Parallel()
	const text = "One two three\nfour five.\n\nSix:\n  seven eight nine ten\neleven"
	if got := reflow(text, 0); got != text {
		t.Errorf("%q", got)
	}
	if got, want := reflow(text, 10), "One two\nthree four\nfive.\n\nSix:\n  seven eight nine ten\neleven"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// The settings of a node are told by purpose, those of where it works first, and each once.
func TestNodeHelpIsGrouped(t *testing.T) {
	t.Parallel()
	help := (&fake{t: t}).run("node", "--help").stdout
	at := 0
	for _, title := range []string{"Where it works:\n      --data", "What clients may submit:", "Memory:", "Disk:", "Of all commands:"} {
		i := strings.Index(help, "\n"+title)
		if i < at {
			t.Errorf("%q is not there, or not behind what was before:\n%s", title, help)
		}
		at = i
	}
	for _, g := range nodeFlags(&nodeConfig{}) {
		if n := strings.Count(help, "\n"+g.title+":\n"); n != 1 {
			t.Errorf("%q is there %d times", g.title, n)
		}
	}
	for _, flag := range []string{"--queue size", "--memory size", "--config file", "--output string", "--low-water size"} {
		if strings.Count(help, flag) != 1 {
			t.Errorf("%s is not there once:\n%s", flag, help)
		}
	}
}
