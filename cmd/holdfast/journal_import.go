package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/persistence/pebble"
	"github.com/holdfast-run/holdfast/persistence/postgres"
)

func newJournalImport(a *app) *cobra.Command {
	var from string
	var to postgres.Config
	var quiet bool
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Move a stopped node's journal into PostgreSQL",
		Long: "Moves all that is in the data directory of a node that is not running into databases that have no journal yet: orders with\n" +
			"their histories, what is open, queues of order keys, due times, definitions, limits and the feature level. It is verified\n" +
			"before, and compared byte for byte afterwards. If it is interrupted, run it again: it goes on where it was. Only when all\n" +
			"is there can nodes use the databases, and from then on none can use the data directory.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" || len(to.Shards) == 0 {
				return usagef("--from is %q, and --journal names %d databases: give the data directory of the node, and where the journal goes",
					from, len(to.Shards))
			}
			if err := to.Validate(); err != nil {
				return usageError{byFlags(err, cmd.Flags(), &to)}
			}
			return a.importJournal(cmd.Context(), from, to, quiet)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "data `directory` of the node whose journal is moved")
	flags.StringArrayVar(&to.Shards, "journal", nil,
		"`connection string` of the database that gets the journal; several times for shards, in the order in which nodes get them")
	flags.StringVar(&to.Schema, "journal-schema", "", "schema of the database that gets the journal (holdfast)")
	flags.BoolVarP(&quiet, "quiet", "q", false, "don't show the progress")
	setting(flags, "journal", "journal-schema")
	return cmd
}

// importWithin is how long a database may take to answer.
const importWithin = time.Minute

func (a *app) importJournal(ctx context.Context, from string, to postgres.Config, quiet bool) error {
	a.importStep(quiet, "verifying the journal in "+from)
	source, report, err := pebble.OpenSource(ctx, wholeCheck(journalIn(from)))
	if report.ProblemCount > 0 {
		err = errors.Join(err, a.printReport(report))
	}
	if err != nil {
		return advise(fmt.Errorf("read the journal in %s: %w", from, err), "Nothing was moved.")
	}
	defer source.Close() //nolint:errcheck // it was only read
	to.AnswerWithin, to.Logger = importWithin, a.logger(a.stderr)
	p := a.newImportProgress(source.Summary().Orders, source.Summary().Records, quiet)
	done, err := postgres.Import(ctx, to, source, p.draw)
	p.end()
	if err != nil {
		return advise(fmt.Errorf("import the journal in %s: %w", from, err),
			"Nodes can't use the databases before it is complete: run the same command again once the reason is gone, or drop the schema.")
	}
	if a.output == outputJSON {
		return a.printJSON(importJSON{
			Journal: done.Journal, From: report.Journal, Before: done.Before, Orders: report.Orders, Open: report.Open,
			Records: report.Records, Events: report.Events, Definitions: report.Definitions,
		})
	}
	if done.Before {
		fmt.Fprintf(a.stdout, "the journal in %s was moved before, into journal %s: nothing was done\n", from, done.Journal)
		return nil
	}
	fmt.Fprintf(a.stdout, "%d orders (%d open), %d records with %d events, %d definitions were moved, and are the same in journal %s\n"+
		"start nodes with --journal from now on; nothing starts on %s any more\n",
		report.Orders, report.Open, report.Records, report.Events, report.Definitions, done.Journal, from)
	return nil
}

// importJSON is what came of an import.
type importJSON struct {
	// Journal is the identity of the journal that was made, From that of the one that was moved.
	Journal string `json:"journal"`
	From    string `json:"from"`
	// Before: it was moved before, and nothing was done.
	Before      bool  `json:"before"`
	Orders      int64 `json:"orders"`
	Open        int64 `json:"open"`
	Records     int64 `json:"records"`
	Events      int64 `json:"events"`
	Definitions int64 `json:"definitions"`
}

func (a *app) importStep(quiet bool, text string) {
	if !quiet {
		fmt.Fprintln(a.stderr, text)
	}
}

// importProgress shows how far an import is, as bulkProgress does.
type importProgress struct {
	*bulkProgress

	orders, records int64
	compares        bool
}

func (a *app) newImportProgress(orders, records int64, quiet bool) *importProgress {
	return &importProgress{bulkProgress: a.newBulkProgress(0, quiet), orders: orders, records: records}
}

// draw shows what was written or compared.
func (p *importProgress) draw(n postgres.ImportProgress) {
	now := time.Now()
	begins := n.Compares && !p.compares
	if p.compares = n.Compares; p.quiet || p.width == 0 && !begins && now.Sub(p.shown) < tellEvery {
		return
	}
	p.shown = now
	doing := "written"
	if n.Compares {
		doing = "compared"
	}
	p.line(fmt.Sprintf("%.0f s  %d of %d orders and %d of %d records %s", now.Sub(p.began).Seconds(), n.Orders, p.orders, n.Records, p.records,
		doing))
}
