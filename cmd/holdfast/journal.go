package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/actors/audit"
	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/instance"
	"github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/actors/schedule"
	"github.com/holdfast-run/holdfast/actors/slot"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/pebble"
)

// newJournal makes the commands that look after a journal that is embedded in a node.
func newJournal(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "journal", Short: "Look after a node's journal"}
	asGroup(cmd)
	cmd.AddCommand(newJournalVerify(a), newJournalBackup(a), newJournalRestore(a), newJournalImport(a))
	return cmd
}

func newJournalVerify(a *app) *cobra.Command {
	var data string
	verify := &cobra.Command{
		Use:   "verify",
		Short: "Check every block, record, history and index of a stopped node's journal",
		Long: "Reads the whole journal in the data directory of a node that is not running, and changes nothing: every block of\n" +
			"every file, every record, whether versions have gaps, whether each history folds with its definition to the\n" +
			"status that its row tells, and whether all indexes agree. Exits with 1 if anything is wrong. Journals with the same\n" +
			"digest hold the same.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			check, chains := wholeCheck(journalIn(data)), audit.NewVerifier(audit.Checks{})
			check.Audit = func(e persistence.AuditEntry) { chains.AddAt(e.Chain, e.Sequence, e.Value) }
			report, err := pebble.Verify(cmd.Context(), check)
			if err != nil {
				return fmt.Errorf("verify the journal: %w", err)
			}
			addAudit(&report, chains.Report())
			if err := a.printReport(report); err != nil {
				return err
			}
			if report.ProblemCount > 0 {
				return advise(fmt.Errorf("the journal in %s is damaged: %s", data, some(report.ProblemCount, "problem", "problems")),
					"Nothing is repaired. If files were moved or cut off, put them back. Else put back a whole copy of the data "+
						"directory: orders that were accepted since are not in it. Keep what is there now, for what can be read of it.")
			}
			return nil
		},
	}
	verify.Flags().StringVar(&data, "data", "data", "data `directory` of the node")
	setting(verify.Flags(), "data")
	return verify
}

// addAudit adds what is wrong with the chains of the audit.
func addAudit(to *pebble.Report, found audit.Report) {
	to.ProblemCount += int64(found.ProblemCount)
	for _, p := range found.Problems {
		to.Problems = append(to.Problems, pebble.Problem{What: "audit: " + p})
	}
}

// wholeCheck is all that can be checked of the orders of a journal.
func wholeCheck(dir string) pebble.Check {
	refold := order.NewRefolder(definition.Limits{})
	return pebble.Check{
		Dir: dir, Definition: refold.AddDefinition,
		Fold: func(o pebble.Order) error {
			switch messages.OrderID(o.Row.GetId()).Kind() {
			case messages.KindOrder:
				return refold.Check(o.Row, o.Open, o.Records)
			case messages.KindSlot:
				return instance.Check(slot.New(slot.Limits{}), o.Row, o.Open, o.Records)
			case messages.KindSchedule:
				return instance.Check(schedule.New(schedule.Limits{}), o.Row, o.Open, o.Records)
			}
			return nil // a later version knows it
		},
	}
}

// journalName is the only thing that a node has in its data directory.
const journalName = "journal"

// journalIn is the directory of a node's journal.
func journalIn(data string) string { return filepath.Join(data, journalName) }

// makeData makes a data directory, or makes sure that it is one: a new journal beside other files would mean that the
// node's own journal lies elsewhere, or was lost, and that its orders were forgotten without a word.
func makeData(data string) error {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if exists, err := pebble.Exists(journalIn(data)); err != nil {
		return fmt.Errorf("look for the journal: %w", err)
	} else if exists {
		return keepPrivate(journalIn(data))
	}
	entries, err := os.ReadDir(data)
	if err != nil {
		return fmt.Errorf("look into the data directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() != journalName && e.Name() != "lost+found" {
			return fmt.Errorf("data directory %s has no journal, but has %q: a new journal is made only in an empty directory: "+
				"give the one that the node had before, or an empty one", data, e.Name())
		}
	}
	return nil
}

// keepPrivate keeps other users from reading the files of a journal that was made when they still could.
func keepPrivate(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && info.Mode().Perm()&othersMask != 0 {
		err = os.Chmod(dir, info.Mode().Perm()&^othersMask)
	}
	if err != nil {
		return fmt.Errorf("keep others from the journal: %w", err)
	}
	return nil
}

func (a *app) printReport(r pebble.Report) error {
	if a.output == outputJSON {
		return a.printJSON(r)
	}
	switch {
	case r.Unreadable:
		fmt.Fprintln(a.stdout, "the journal can't be read, and what it holds is not known")
	case r.ProblemCount > 0:
		fmt.Fprint(a.stdout, "the journal is damaged; what can be read of it: ")
	}
	if !r.Unreadable {
		a.printCounts(r)
	}
	for _, p := range r.Problems {
		fmt.Fprintln(a.stdout, "  "+clean(textJournalProblem(p)))
	}
	if more := r.ProblemCount - int64(len(r.Problems)); more > 0 {
		fmt.Fprintf(a.stdout, "  and %s\n", some(more, "more problem", "more problems"))
	}
	if r.ProblemCount == 0 {
		fmt.Fprintln(a.stdout, "nothing is wrong")
	}
	return nil
}

// printCounts prints what a journal holds.
func (a *app) printCounts(r pebble.Report) {
	fmt.Fprintf(a.stdout, "%d orders (%d open), %d records with %d events, %d definitions, %d tables with %d bytes, digest %s\n",
		r.Orders, r.Open, r.Records, r.Events, r.Definitions, r.Tables, r.Bytes, r.Digest)
}

// textJournalProblem tells a problem, and where it is as far as it doesn't say that itself.
func textJournalProblem(p pebble.Problem) string {
	text := p.What
	if p.Key != "" {
		text = "key " + p.Key + ": " + text
	}
	if p.Order != "" {
		text = "order " + p.Order + ": " + text
	}
	if p.File != "" && !strings.Contains(text, p.File) {
		text = p.File + ": " + text
	}
	return text
}
