package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	var (
		holdfast, parent, history string
		keep, noDedup             bool
		timeout                   time.Duration
	)
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run the sample orders through real processes, and check the result",
		Long: `Run the sample orders through real processes: a downstream process for each system, and "holdfast dev" with a node and an
adapter process for each. Shows what happens, a history and a summary, and compares the logs of the downstreams with the
histories. Exits 0 only if every order ended as it should and the check found nothing. Any of the processes may be killed
meanwhile.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			if holdfast == "" {
				holdfast = filepath.Join(filepath.Dir(self), "holdfast")
			}
			if _, err := os.Stat(holdfast); err != nil {
				return fmt.Errorf("%s %w", holdfast, errNoHoldfast)
			}
			dir, err := newDir(parent, "demo")
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(c.Context(), timeout, fmt.Errorf("not done after %v", timeout))
			defer cancel()
			d := &demo{
				holdfast: holdfast, self: self, dir: dir, show: newScreen(c.OutOrStdout()), history: history, dedup: !noDedup,
				orders: samples,
			}
			if err := d.run(ctx); err != nil {
				return fmt.Errorf("demo failed: %w\nlogs and data are in %s", err, dir)
			}
			d.show.end()
			if keep {
				fmt.Fprintln(d.show.out, "Logs and data are in "+dir)
				return nil
			}
			return os.RemoveAll(dir)
		},
	}
	f := c.Flags()
	f.StringVar(&holdfast, "holdfast", "", "the holdfast binary; by default the one beside this program")
	f.StringVar(&parent, "dir", ".holdfast", "folder to make the folder of this demo in")
	f.BoolVar(&keep, "keep", false, "keep logs and data, also when all is well")
	f.BoolVar(&noDedup, "no-dedup", false, "let the downstreams apply a key each time that it comes: the check must fail")
	f.StringVar(&history, "history", "04-port-refused", "the sample whose history is shown")
	f.DurationVar(&timeout, "timeout", 2*time.Minute, "give up after so long")
	return c
}
