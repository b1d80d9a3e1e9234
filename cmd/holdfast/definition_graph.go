package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/console/graph"
)

// The formats of pictures.
var graphFormats = []string{"svg", "mermaid"}

// graphFlags says how a definition is drawn, and where to.
type graphFlags struct {
	format string
	to     string
	expand bool
}

func newDefinitionGraph(a *app) *cobra.Command {
	var f graphFlags
	cmd := &cobra.Command{
		Use:   "graph FILE",
		Short: "Draw a definition",
		Long: "Draw a definition, without deploying it: its tasks, and what may come after what. No node is asked. The picture is SVG,\n" +
			"or a flowchart of Mermaid, and goes to the standard output or a file (--to); -o json prints the nodes and edges instead.\n" +
			"Functions of the definition are drawn once, or where they are called (--expand). The definition is checked first, as by\n" +
			"'holdfast definition validate': one that can't be deployed is not drawn, the status is 1, and what is wrong is told.",
		Example: "  holdfast definition graph activate.yaml --to activate.svg",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("name one file of a definition, or - for the standard input")
			}
			if !slices.Contains(graphFormats, f.format) {
				return usagef("--format is %q, and must be one of %s", f.format, strings.Join(graphFormats, ", "))
			}
			return nil
		},
		ValidArgsFunction: completeFiles,
	}
	fetched := resourceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		fetch, err := fetched()
		switch {
		case err != nil:
			return err
		case f.to != "" && a.output == outputJSON:
			return usagef("--to is for pictures, and -o json prints none: remove one of them")
		}
		return a.eachFile(cmd.Context(), files, func(file string, document []byte) error {
			document, err := withResources(cmd.Context(), file, document, fetch)
			if err != nil {
				return err
			}
			return a.graph(file, document, f)
		})
	}
	flags := cmd.Flags()
	flags.StringVar(&f.format, "format", graphFormats[0], "what the picture is written in: "+strings.Join(graphFormats, " or "))
	flags.StringVar(&f.to, "to", "", "`file` that gets the picture (the standard output)")
	flags.BoolVar(&f.expand, "expand", false, "draw functions of the definition where they are called")
	complete(cmd, "format", graphFormats...)
	return cmd
}

// graph draws a document that can be deployed.
func (a *app) graph(file string, document []byte, f graphFlags) error {
	def, found := definition.Check(document, definition.Limits{})
	mistakes, warnings := bySeverity(found)
	if def == nil && a.output == outputJSON {
		if err := a.printJSON(shown.Validation{
			File: file, Mistakes: shown.MistakesOf(mistakes), Warnings: shown.MistakesOf(warnings),
		}); err != nil {
			return err
		}
	} else {
		for _, m := range found {
			fmt.Fprintln(a.stderr, textMistake(file, m))
		}
	}
	if def == nil {
		return fmt.Errorf("%s has mistakes: %d", file, len(mistakes))
	}
	g, err := graph.New(document, graph.Config{Expand: f.expand})
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if a.output == outputJSON {
		return a.printJSON(g)
	}
	picture := g.SVG
	if f.format == "mermaid" {
		picture = g.Mermaid
	}
	return a.writeTo(f.to, picture())
}

// writeTo writes to a file, or to the standard output if it has no name.
func (a *app) writeTo(name string, content []byte) error {
	if name == "" {
		if _, err := a.stdout.Write(content); err != nil {
			return fmt.Errorf("write the picture: %w", err)
		}
		return nil
	}
	out, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	_, err = out.Write(content)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	return nil
}
