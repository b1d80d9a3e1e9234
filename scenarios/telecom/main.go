package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args[1:])) }

// run returns the exit code: 0 if all is well, 1 if not.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	root := &cobra.Command{
		Use:           "telecom",
		Short:         "The telecom scenario: activation of mobile subscribers with number port-in",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(downstreamCommand(), adapterCommand(), checkCommand(), demoCommand(), clusterCommand())
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "telecom:", err)
		return 1
	}
	return 0
}
