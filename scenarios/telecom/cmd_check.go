package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/scenarios/checker"
)

// errViolations: the checker found something. It was printed already.
var errViolations = errors.New("the logs and the histories do not agree")

func checkCommand() *cobra.Command {
	var logs, histories []string
	var output string
	c := &cobra.Command{
		Use:   "check",
		Short: "Compare downstream logs with order histories",
		Long: `Compare the logs of the downstreams with the histories of the orders, and nothing else: no key may have been applied
twice, every attempt that succeeded must have been applied, everything applied must have been scheduled, and no history
may have a gap. Exits 1 if anything is wrong.

A line of the histories is one event as "holdfast order history -o json" prints it, with the order's id added as "order".`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("--output is %q: expected text or json", output)
			}
			r, err := checker.Files(c.Context(), logs, histories)
			if err != nil {
				return err
			}
			if output == "json" {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				if err := e.Encode(r); err != nil {
					return fmt.Errorf("print report: %w", err)
				}
			} else {
				printReport(c.OutOrStdout(), r)
			}
			if !r.Pass {
				return errViolations
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringArrayVar(&logs, "downstream-log", nil, "log of a downstream; may be repeated")
	f.StringArrayVar(&histories, "histories", nil, "order histories, JSON Lines; may be repeated")
	f.StringVarP(&output, "output", "o", "text", "text or json")
	cobra.CheckErr(c.MarkFlagRequired("downstream-log"))
	cobra.CheckErr(c.MarkFlagRequired("histories"))
	return c
}

func printReport(w io.Writer, r *checker.Report) {
	_, _ = fmt.Fprintf(w, "%d orders, %d events, %d activities succeeded; %d requests: %d applied, %d repeated, %d refused\n",
		r.Orders, r.Events, r.Succeeded, r.Requests, r.Applied, r.Repeated, r.Refused)
	_, _ = fmt.Fprintf(w, "%d duplicated, %d missing, %d unexplained, %d history gaps\n",
		r.Duplicated, r.Missing, r.Unexplained, r.HistoryGaps)
	for _, v := range r.Violations {
		_, _ = fmt.Fprintf(w, "  %s  %s  %s %s: %s\n", v.Where, v.Kind, v.Order, v.Key, v.Detail)
	}
}
