package main

import (
	"context"
	"fmt"
	"os/user"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

func newKey(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "See who waits for an order key, and let the next one run",
		Long: "Orders with the same order key run one after another. One that faults holds the key, so that the next ones\n" +
			"wait, until it is released here, unless its definition says metadata.holdfast.onFault: release.",
	}
	asGroup(cmd)
	a.adminFlags(cmd)
	cmd.AddCommand(newKeyShow(a), newKeyRelease(a))
	return cmd
}

func newKeyShow(a *app) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "show KEY",
		Short: "List the orders of a key that run, hold it or wait for it",
		Args:  oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 {
				return usagef("--limit %d is negative", limit)
			}
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				return a.showKey(ctx, c, args[0], limit)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "list at most this many; 0: all")
	return cmd
}

// showKey lists the queue of a key; a limit of 0: all of it.
func (a *app) showKey(ctx context.Context, c *api, key string, limit int) error {
	var t *table
	if a.output == outputTable {
		t = a.newTable(whole("POSITION"), whole("ID"), wrap("STATUS"), cut("DEFINITION"), extra("AGE"))
	}
	request := &adminv1.ShowKeyRequest{OrderKey: key}
	for listed := 0; ; {
		request.Limit = maxListPage
		if limit > 0 {
			request.Limit = int32(min(limit-listed, maxListPage))
		}
		answer, err := c.Admin().ShowKey(ctx, request)
		if err != nil {
			return err
		}
		now, last := time.Now(), int64(0)
		for _, o := range answer.GetOrders() {
			last = o.GetPosition()
			if err := a.printKeyed(t, o, now); err != nil {
				return err
			}
		}
		listed += len(answer.GetOrders())
		request.PageToken = answer.GetNextPageToken()
		if request.GetPageToken() != "" && (limit == 0 || listed < limit) {
			continue
		}
		if err := t.end(); err != nil {
			return err
		}
		switch {
		case listed == 0:
			fmt.Fprintln(a.stderr, "no order has the key, or waits for it")
		case request.GetPageToken() != "":
			fmt.Fprintf(a.stderr, "%d more wait; --limit 0 lists all\n", max(answer.GetWaiting()-last, 1))
		}
		return nil
	}
}

// printKeyed prints an order of a key: as a row of t, or as JSON if there is none.
func (a *app) printKeyed(t *table, o *adminv1.KeyedOrder, now time.Time) error {
	if t == nil {
		return a.printJSON(shown.KeyedOf(o))
	}
	status := shown.StatusWord(o.GetStatus())
	if shown.HoldsKey(o) {
		status += ", holds the key"
	}
	t.row(strconv.FormatInt(o.GetPosition(), 10), o.GetId(), status, o.GetDefinition(),
		now.Sub(o.GetAcceptedAt().AsTime()).Round(time.Second).String())
	return nil
}

func newKeyRelease(a *app) *cobra.Command {
	var request adminv1.ReleaseKeyRequest
	cmd := &cobra.Command{
		Use:   "release KEY",
		Short: "Let the next order of a key run, though the one before has faulted",
		Args:  oneKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				request.OrderKey = args[0]
				answer, err := c.Admin().ReleaseKey(ctx, &request)
				if err != nil {
					return err
				}
				if a.output == outputJSON {
					return a.printJSON(map[string]string{"released": answer.GetId()})
				}
				if _, err = fmt.Fprintf(a.stdout, "%s no longer holds the key\n", clean(answer.GetId())); err != nil {
					return fmt.Errorf("write answer: %w", err)
				}
				return nil
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&request.Id, "id", "", "only if this `order` holds the key")
	flags.StringVar(&request.By, "by", userName(), "who releases it; kept in the order's history")
	flags.StringVar(&request.Reason, "reason", "", "why; kept in the order's history")
	return cmd
}

// userName is the name of who runs the program; empty if nobody knows.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// oneKey is the arguments of commands about one order key.
func oneKey(_ *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usagef("give one order key")
	}
	return nil
}
