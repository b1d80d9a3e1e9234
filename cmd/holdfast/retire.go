package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// oneVersion is the arguments of commands about one version of a definition.
func oneVersion(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("name one definition, as namespace/name:version")
	}
	ref, err := messages.ParseDefinitionRef(args[0])
	if err != nil {
		return usageError{err}
	}
	if ref.Version == messages.Latest {
		return usagef("name the version, as namespace/name:version: what the latest one is changes")
	}
	return nil
}

func newDefinitionRetire(a *app) *cobra.Command {
	request := &definitionv1.RetireRequest{}
	cmd := &cobra.Command{
		Use:   "retire NAMESPACE/NAME:VERSION",
		Short: "Take a definition out of use for new orders",
		Long: "Take a definition out of use for new orders: one that names it is refused, and latest passes it over. Orders that run\n" +
			"it go on, and definitions that run it by its version as a child order still do. 'reinstate' takes it back.",
		Args:              oneVersion,
		ValidArgsFunction: a.completeDefinition,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), a.dial, func(ctx context.Context, c *api) error {
				request.Definition = args[0]
				answer, err := c.Definitions().Retire(ctx, request)
				if err != nil {
					return err
				}
				return a.printRetired(answer.GetDefinition(), "is retired")
			})
		},
	}
	cmd.Flags().StringVar(&request.By, "by", userName(), "who retires it; told with the definition")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why; told to those whose orders are refused")
	return cmd
}

func newDefinitionReinstate(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "reinstate NAMESPACE/NAME:VERSION",
		Short:             "Take a retired definition into use for new orders again",
		Args:              oneVersion,
		ValidArgsFunction: a.completeDefinition,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), a.dial, func(ctx context.Context, c *api) error {
				answer, err := c.Definitions().Reinstate(ctx, &definitionv1.ReinstateRequest{Definition: args[0]})
				if err != nil {
					return err
				}
				return a.printRetired(answer.GetDefinition(), "is in use")
			})
		},
	}
}

func newDefinitionRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAMESPACE/NAME:VERSION",
		Short: "Remove a retired definition that no order needs any more",
		Long: "Remove a retired definition that no order needs any more: it is listed no longer, takes no memory, and does not count to\n" +
			"how many may be deployed. It is refused while orders that have not ended run it. Histories name it for good, so 'get'\n" +
			"still prints it, and its name and version stay its own: 'reinstate', or deploying the same document, takes it back.",
		Args:              oneVersion,
		ValidArgsFunction: a.completeDefinition,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), a.dial, func(ctx context.Context, c *api) error {
				answer, err := c.Definitions().Remove(ctx, &definitionv1.RemoveRequest{Definition: args[0]})
				if err != nil {
					return err
				}
				return a.printRetired(answer.GetDefinition(), "is removed")
			})
		},
	}
}

// printRetired says how a definition stands now.
func (a *app) printRetired(d *definitionv1.Definition, how string) error {
	if a.output == outputJSON {
		return a.printJSON(shown.DefinitionOf(d))
	}
	t := a.newRecord()
	t.row(shown.DefinitionName(d), how)
	return t.end()
}
