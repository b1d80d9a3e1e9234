package main

import (
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// devConfig says what dev runs.
type devConfig struct {
	Data          string
	Listen, Admin string
	// Adapters are of the form NAME=COMMAND; those of the configuration file come in addition.
	Adapters []string
	// HTTP has it run the adapter of "call: http", unless one is given.
	HTTP bool
	// Grace is how long each child has to stop.
	Grace time.Duration
	// LiveEvery, LiveTimeout and LiveFailures say when a node that doesn't answer is killed and started again.
	LiveEvery, LiveTimeout time.Duration
	LiveFailures           int
}

func newDev(a *app) *cobra.Command {
	var c devConfig
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a node and adapters, and start them again whenever they fail",
		Long: "Runs a node, the adapter of \"call: http\", and any number of others as processes of their own. Each is started again when\n" +
			"it exits, the node also when its /livez fails or hangs. Their output appears line by line, behind their names. When dev\n" +
			"gets SIGTERM or SIGINT it stops the adapters, then the node; when dev is killed they die with it.\n\n" +
			"The node gets its settings from the environment and the configuration file. Adapters find it by HOLDFAST_SERVER.\n" +
			"They are given by --adapter, or in the configuration file:\n\n" +
			"  adapters:\n" +
			"    billing:\n" +
			"      command: ./billing-adapter --rate 50\n" +
			"      dir: /opt/billing            # where it runs\n" +
			"      env: {BILLING_URL: http://…}  # added to the environment\n" +
			"      live: http://127.0.0.1:9001/livez  # must answer 200; not asked if absent",
		Example: "  holdfast dev --data ./data --adapter billing='./billing-adapter --rate 50' --adapter sms=./sms-adapter",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			adapters, err := a.devAdapters(c.Adapters)
			if err != nil {
				return err
			}
			if c.HTTP && !slices.ContainsFunc(adapters, func(d devAdapter) bool { return d.Name == httpName }) {
				adapters = append(adapters, devAdapter{Name: httpName})
			}
			return a.runDev(cmd.Context(), c, adapters)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Data, "data", "data", "`directory` of the node's journal")
	flags.StringVar(&c.Listen, "listen", defaultServer, "`address` of the node's API")
	flags.StringVar(&c.Admin, "admin-listen", defaultAdmin, "`address` of the node's administration")
	flags.StringArrayVar(&c.Adapters, "adapter", nil, "an adapter, `NAME=COMMAND`, with quotes as for a shell; may be repeated")
	flags.BoolVar(&c.HTTP, "http", true, "run the adapter of \"call: http\" too, which may call all hosts, this one included")
	flags.DurationVar(&c.Grace, "child-grace", 35*time.Second, "how long a child may take to stop before it is killed")
	flags.DurationVar(&c.LiveEvery, "live-every", time.Second, "how often the node's liveness is asked")
	flags.DurationVar(&c.LiveTimeout, "live-timeout", 2*time.Second, "how long an answer may take")
	flags.IntVar(&c.LiveFailures, "live-failures", 3, "after how many failures in a row the node is killed")
	setting(flags, "data", "listen", "admin-listen", "child-grace", "live-every", "live-timeout", "live-failures")
	return cmd
}

// validate says what is wrong with the settings, and whether others use the addresses: a node that can't start would
// tell so again and again.
func (c devConfig) validate() error {
	for flag, d := range map[string]time.Duration{
		"--child-grace": c.Grace, "--live-every": c.LiveEvery, "--live-timeout": c.LiveTimeout,
	} {
		if d <= 0 {
			return usagef("%s %v is not longer than 0", flag, d)
		}
	}
	if c.LiveFailures < 1 {
		return usagef("--live-failures %d is less than 1", c.LiveFailures)
	}
	for _, at := range []struct{ flag, address string }{{"--listen", c.Listen}, {"--admin-listen", c.Admin}} {
		_, port, err := net.SplitHostPort(at.address)
		if err != nil || port == "" || port == "0" {
			return usagef("%s %q is not of the form host:port, with a port of its own", at.flag, at.address)
		}
		l, err := net.Listen("tcp", at.address) //nolint:noctx // it listens at once, or not at all
		if err != nil {
			return advise(fmt.Errorf("%s: %w", at.flag, err), "Does another node run already? Stop it, or give other addresses.")
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("%s: %w", at.flag, err)
		}
	}
	return nil
}

// reachable is the address by which a process on this machine reaches a listener.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
