package main

import (
	"fmt"
	"log/slog"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/bench"
)

// newAdapter makes the command that runs the built-in adapters.
func newAdapter(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "adapter",
		Short: "See and limit what adapters do, or run a built-in one",
	}
	asGroup(cmd)
	var config adapters.Config
	run := &cobra.Command{
		Use:   "bench",
		Short: "Run the adapter that benchmarks call: bench.echo, bench.sleep",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.logging(func(log *slog.Logger) error {
				config.Log, config.Token = log, a.sender()
				if f := a.client.secure.files(); f != nil {
					config.TLS = &adapters.TLS{CA: f.CA, Cert: f.Certificate, Key: f.Key, ServerName: f.ServerName}
				}
				runtime.GOMAXPROCS(1) // its activities only wait, so that a second processor would only cost its waking
				if err := bench.New().Run(cmd.Context(), config); err != nil {
					return fmt.Errorf("adapter bench: %w", err)
				}
				return nil
			})
		},
	}
	run.Flags().StringSliceVar(&config.Servers, "server", nil, "`address` of a node, host:port; several allowed (127.0.0.1:7460)")
	run.Flags().StringVar(&config.LedgerDir, "ledger", "",
		"`folder` for what the adapter knows about its work, so that it survives a restart (none)")
	setting(run.Flags(), "server")
	a.client.secure.flags(run.Flags(), "", "nodes")
	cmd.AddCommand(run, newAdapterList(a), newAdapterLimit(a))
	return cmd
}
