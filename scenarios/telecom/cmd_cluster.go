package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
)

func clusterCommand() *cobra.Command {
	k := &cluster{}
	var parent string
	var keep bool
	c := &cobra.Command{
		Use:   "cluster",
		Short: "Run orders through a cluster of three nodes, show who has what while you kill things, and check the result",
		Long: `Run orders through a cluster: three nodes, with a real Consul and a real PostgreSQL, six downstream systems and six adapters,
each a process of its own on this machine. Shows which node has how many partitions whenever that changes, and which process
to kill, if you like: any of them may be. When the time is over, or after the first interrupt, no more orders come; when all
have ended, the logs of the downstreams are compared with the histories. Exits 0 only if every order ended as it should and
the check found nothing.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if err := k.find(); err != nil {
				return err
			}
			if k.dir, err = newDir(parent, "cluster"); err != nil {
				return err
			}
			k.show = newScreen(c.OutOrStdout())
			if err := k.run(c.Context()); err != nil {
				return fmt.Errorf("not as it should be: %w\nlogs are in %s", err, k.dir)
			}
			k.show.end()
			if keep {
				fmt.Fprintln(k.show.out, "Logs are in "+k.dir)
				return nil
			}
			return os.RemoveAll(k.dir)
		},
	}
	f := c.Flags()
	f.StringVar(&k.holdfast, "holdfast", "", "the holdfast binary; by default the one beside this program")
	f.StringVar(&k.consul, "consul", "", "the consul binary; by default what HOLDFAST_TEST_CONSUL says, or the one on the path")
	f.StringVar(&parent, "dir", ".holdfast", "folder to make the folder with the logs of this run in")
	f.BoolVar(&keep, "keep", false, "keep the logs, also when all is well")
	f.IntVar(&k.rate, "rate", 20, "how many orders come in a second; 1 to 100")
	f.DurationVar(&k.lasts, "duration", time.Minute, "how long orders come; up to 1h")
	f.DurationVar(&k.every, "kill", 0, "kill (-9) a node, one after the other, each time that so long has passed; 0: only you do")
	f.DurationVar(&k.back, "back", 8*time.Second, "how long a node that has ended stays away")
	f.DurationVar(&k.patience, "timeout", 2*time.Minute, "give up when the last orders have not ended after so long")
	return c
}

// find finds the programs, and says what is wrong with the flags.
func (k *cluster) find() (err error) {
	var errs []error
	if k.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if k.holdfast == "" {
		k.holdfast = filepath.Join(filepath.Dir(k.self), "holdfast")
	}
	if _, err := os.Stat(k.holdfast); err != nil {
		errs = append(errs, fmt.Errorf("%s %w", k.holdfast, errNoHoldfast))
	}
	for _, name := range []string{k.consul, os.Getenv("HOLDFAST_TEST_CONSUL"), "consul"} {
		if name != "" {
			k.consul = name
			break
		}
	}
	if k.consul, err = exec.LookPath(k.consul); err != nil {
		errs = append(errs, fmt.Errorf("consul is not there: make tools builds it, or name it with --consul: %w", err))
	}
	if k.postgres, err = pgserver.Programs(); err != nil {
		errs = append(errs, err)
	}
	if k.rate < 1 || k.rate > 100 {
		errs = append(errs, fmt.Errorf("--rate is %d: from 1 to 100 is expected", k.rate)) //nolint:err113 // for people
	}
	if k.lasts <= 0 || k.lasts > time.Hour {
		errs = append(errs, fmt.Errorf("--duration is %v: up to an hour is expected", k.lasts)) //nolint:err113 // for people
	}
	if k.every < 0 || k.back < 0 || k.patience <= 0 {
		errs = append(errs, errNegative)
	}
	return errors.Join(errs...)
}

var errNegative = errors.New("--kill and --back must not be negative, and --timeout must be above 0")
