package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// proseWidth is as wide as help is written, however wide the terminal is.
const proseWidth = 120

// setHelp has help fit the terminal, where there is one.
func (a *app) setHelp(root *cobra.Command) {
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		text := cmd.Long
		if text == "" {
			text = cmd.Short
		}
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "%s\n\n", reflow(strings.TrimSpace(text), a.helpWidth()))
		fmt.Fprint(out, cmd.UsageString())
	})
	wrapped := fmt.Sprintf("Flags.FlagUsagesWrapped %d", a.helpWidth())
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "Flags.FlagUsages", wrapped))
}

// helpWidth is how wide help may be; 0: as it is written.
func (a *app) helpWidth() int { return min(a.terminal(a.stdout), proseWidth) }

// reflow breaks the paragraphs of a text anew, so that they fit a width; 0: as it is. Lines that are indented stay as they
// are, and so does a heading that ends with a colon.
func reflow(text string, width int) string {
	if width == 0 {
		return text
	}
	var b strings.Builder
	column := 0 // 0: a line begins
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, " ") {
			if column > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(line + "\n")
			column = 0
			continue
		}
		for word := range strings.FieldsSeq(line) {
			switch n := columnsOf(word); {
			case column == 0:
				column = n
			case column+1+n > width:
				b.WriteByte('\n')
				column = n
			default:
				b.WriteByte(' ')
				column += 1 + n
			}
			b.WriteString(word)
		}
	}
	return b.String()
}

// flagGroup is flags of one purpose.
type flagGroup struct {
	title string
	flags *pflag.FlagSet
}

// addGroups gives a command its flags, and help that shows them by purpose, in the order of the groups.
func (a *app) addGroups(cmd *cobra.Command, groups []flagGroup) {
	for _, g := range groups {
		cmd.Flags().AddFlagSet(g.flags)
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		out := cmd.OutOrStderr()
		fmt.Fprintf(out, "Usage:\n  %s\n", cmd.UseLine())
		if cmd.HasExample() {
			fmt.Fprintf(out, "\nExamples:\n%s\n", cmd.Example)
		}
		for _, g := range groups {
			printFlags(out, g.title, g.flags, a.helpWidth())
		}
		rest := pflag.NewFlagSet("", pflag.ContinueOnError)
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !grouped(groups, f.Name) {
				rest.AddFlag(f)
			}
		})
		rest.AddFlagSet(cmd.InheritedFlags())
		printFlags(out, "Of all commands", rest, a.helpWidth())
		return nil
	})
}

func grouped(groups []flagGroup, name string) bool {
	for _, g := range groups {
		if g.flags.Lookup(name) != nil {
			return true
		}
	}
	return false
}

func printFlags(out io.Writer, title string, flags *pflag.FlagSet, width int) {
	fmt.Fprintf(out, "\n%s:\n%s", title, flags.FlagUsagesWrapped(width))
}
