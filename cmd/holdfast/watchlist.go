package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// watchList prints the orders of a list, and then what changes, until it is interrupted or its time is over.
func (a *app) watchList(cmd *cobra.Command, request *orderv1.ListRequest, limit int) error {
	if limit < 1 || limit > maxListPage {
		return usagef("--limit %d: with --watch it must be from 1 to %d", limit, maxListPage)
	}
	request.PageSize = int32(limit)
	c, err := a.dial()
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := a.boundWait(cmd.Context())
	defer cancel()
	show, listed := a.listPrinter(limit), false
	err = c.WatchList(ctx, client.ListWatching{
		List: request, Patience: a.patience(a.tellRetry), Each: func(news *orderv1.WatchListResponse) error {
			if err := show(news); err != nil {
				return fmt.Errorf("%w: %w", errPrint, err)
			}
			listed = listed || news.GetListed()
			return nil
		},
	})
	switch {
	case errors.Is(err, errPrint):
		return err
	case listed && a.client.timeout > 0 && cmd.Context().Err() == nil && isOver(ctx, err):
		return nil // it was to be watched for so long
	}
	return a.outcome(ctx, err, "the list was not told", a.client.timeout)
}

// listPrinter prints news of a list as they come: on a terminal in columns that fit it, else a line for each.
func (a *app) listPrinter(limit int) func(*orderv1.WatchListResponse) error {
	if a.output == outputJSON {
		return func(news *orderv1.WatchListResponse) error {
			for _, c := range shown.ListChangesOf(news) {
				if err := a.printJSON(c); err != nil {
					return err
				}
			}
			return nil
		}
	}
	t := a.newTable(whole("ID"), whole("STATUS"), cut("DEFINITION"), extra("KEY"), cut("ACCEPTED AT"), spare("ENDED AT"))
	t.follow(36, 9, 24, 12, len(shown.TimeLayout), len(shown.TimeLayout))
	return func(news *orderv1.WatchListResponse) error {
		for _, c := range news.GetChanges() {
			if err := a.printChange(t, c); err != nil {
				return err
			}
		}
		if news.GetListed() && news.GetCut() {
			fmt.Fprintf(a.stderr, "there are more: these are the newest %d\n", limit)
		}
		return nil
	}
}

// printChange prints what has become of an order of a list: as a row of t on a terminal, else as a line.
func (a *app) printChange(t *table, c *orderv1.ListChange) error {
	o := c.GetOrder()
	cells := []string{c.GetGoneId(), "gone", "", "", "", ""}
	if o != nil {
		cells = []string{
			o.GetId(), shown.StatusWord(o.GetStatus()), o.GetDefinition(), o.GetOrderKey(), shown.TimeText(o.GetAcceptedAt()),
			shown.TimeText(o.GetEndedAt()),
		}
	}
	if t.width > 0 {
		t.row(cells...)
		return t.err
	}
	line := fmt.Sprintf("%-36s  %-9s  %-24s  %-12s  %-24s  %s", cells[0], cells[1], cells[2], cells[3], cells[4], cells[5])
	_, err := fmt.Fprintln(a.stdout, strings.TrimRight(clean(line), " "))
	return err //nolint:wrapcheck // it names the output
}
