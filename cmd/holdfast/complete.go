package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const (
	// completeTimeout bounds the time that a shell waits for suggestions.
	completeTimeout = time.Second
	// completeMost bounds how many there are.
	completeMost = 100
)

// suggest asks a node for suggestions. If that fails there are none.
func (a *app) suggest(cmd *cobra.Command, ask func(context.Context, *api) []cobra.Completion) (
	[]cobra.Completion, cobra.ShellCompDirective,
) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if err := a.configure(cmd); err != nil {
		return nil, none
	}
	dial := a.dial
	if cmd.Flag("admin") != nil {
		dial = a.dialAdmin
	}
	c, err := dial()
	if err != nil {
		return nil, none
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	return ask(ctx, c), none
}

// completeOrderID suggests the newest orders.
func (a *app) completeOrderID(cmd *cobra.Command, args []string, prefix string) (
	[]cobra.Completion, cobra.ShellCompDirective,
) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeOrderIDs()(cmd, args, prefix)
}

// completeOrderIDs suggests the newest orders of these statuses, or of all, again and again.
func (a *app) completeOrderIDs(statuses ...orderv1.Status) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.suggestOrders(cmd, statuses, args, prefix)
	}
}

func (a *app) suggestOrders(cmd *cobra.Command, statuses []orderv1.Status, args []string, prefix string) (
	[]cobra.Completion, cobra.ShellCompDirective,
) {
	return a.suggest(cmd, func(ctx context.Context, c *api) []cobra.Completion {
		answer, err := c.Orders().List(ctx, &orderv1.ListRequest{PageSize: completeMost, Statuses: statuses})
		if err != nil {
			return nil
		}
		var found []cobra.Completion
		for _, o := range answer.GetOrders() {
			if strings.HasPrefix(o.GetId(), prefix) && !slices.Contains(args, o.GetId()) {
				about := shown.StatusWord(o.GetStatus()) + " " + o.GetDefinition()
				found = append(found, cobra.CompletionWithDesc(clean(o.GetId()), clean(about)))
			}
		}
		return found
	})
}

// completeDefinition suggests deployed definitions.
func (a *app) completeDefinition(cmd *cobra.Command, args []string, prefix string) (
	[]cobra.Completion, cobra.ShellCompDirective,
) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.suggest(cmd, func(ctx context.Context, c *api) []cobra.Completion {
		answer, err := c.Definitions().List(ctx, &definitionv1.ListRequest{PageSize: maxListPage})
		if err != nil {
			return nil
		}
		var found []cobra.Completion
		for _, d := range answer.GetDefinitions() {
			if name := shown.DefinitionName(d); strings.HasPrefix(name, prefix) && len(found) < completeMost {
				title := d.GetTitle()
				if d.GetRetirement() != nil {
					title += " (retired)"
				}
				found = append(found, cobra.CompletionWithDesc(clean(name), clean(title)))
			}
		}
		return found
	})
}
