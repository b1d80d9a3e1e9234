package main

import (
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/bench"
	"github.com/holdfast-run/holdfast/adapters/grpc"
	"github.com/holdfast-run/holdfast/adapters/http"
	"github.com/holdfast-run/holdfast/adapters/outbound"
	"github.com/holdfast-run/holdfast/adapters/shell"
)

// newAdapter makes the command that runs the built-in adapters.
func newAdapter(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "adapter",
		Short: "See and limit what adapters do, or run a built-in one",
	}
	asGroup(cmd)
	const benched = "Run the adapter that benchmarks call: bench.echo, bench.sleep"
	waits := a.builtin("bench", benched, func(*slog.Logger) (*adapters.Adapter, error) {
		runtime.GOMAXPROCS(1) // its activities only wait, so that a second processor would only cost its waking
		return bench.New(), nil
	})
	cmd.AddCommand(waits, newGRPC(a), newHTTP(a), newShell(a), newAdapterList(a), newAdapterLimit(a))
	return cmd
}

// newHTTP makes the command that runs the adapter of "call: http".
func newHTTP(a *app) *cobra.Command {
	var c http.Config
	cmd := a.builtin("http", "Run the adapter that sends the requests of \"call: http\"", func(log *slog.Logger) (*adapters.Adapter, error) {
		c.Log = log
		adapter, err := http.New(c)
		if err != nil {
			return nil, usagef("%w", err)
		}
		return adapter, nil
	})
	f := cmd.Flags()
	outboundFlags(f, &c.Config, "requests")
	f.IntVar(&c.HostConnections, "host-connections", 32, "how many connections there are to one host")
	return cmd
}

// newGRPC makes the command that runs the adapter of "call: grpc".
func newGRPC(a *app) *cobra.Command {
	var c grpc.Config
	cmd := a.builtin("grpc", "Run the adapter that makes the calls of \"call: grpc\"", func(log *slog.Logger) (*adapters.Adapter, error) {
		c.Log = log
		adapter, err := grpc.New(c)
		if err != nil {
			return nil, usagef("%w", err)
		}
		return adapter, nil
	})
	f := cmd.Flags()
	outboundFlags(f, &c.Config, "calls")
	f.StringSliceVar(&c.Plaintext, "plaintext", nil, "`host` that is called without TLS, as --allow has them; several allowed (none)")
	f.BoolVar(&c.Reflection, "reflection", false, "ask servers what a method takes where a definition does not say so")
	f.IntVar(&c.Connections, "connections", 256, "how many connections are kept that nobody uses")
	return cmd
}

// outboundFlags adds the flags that adapters have in common which send requests, or calls.
func outboundFlags(f *pflag.FlagSet, c *outbound.Config, what string) {
	f.StringSliceVar(&c.Allow, "allow", nil, "`where` "+what+" may go: api.example.com, *.example.com, 10.0.0.0/8; * for all; "+
		"each perhaps with a port; several allowed (all but loopback, link-local and metadata addresses)")
	f.StringSliceVar(&c.Resolve, "resolve", nil, "`HOST:PORT=ADDRESS:PORT`, another address for a host; several allowed (none)")
	f.StringVar(&c.CA, "ca-file", "", "`file` of certificates that those of servers must be signed by, beside the system's (none)")
	f.StringVar(&c.Proxy, "proxy", "", "`address` of a proxy for all "+what+", http://host:port (none)")
	f.StringVar((*string)(&c.Secrets), "secrets", "", "`folder` of the definitions' secrets, NAMESPACE/NAME or NAMESPACE/NAME.json (none)")
	f.IntVar(&c.Concurrency, "concurrency", 64, "how many "+what+" of each activity are sent at once")
	f.DurationVar(&c.Idle, "idle", 30*time.Second, "how long a connection is kept that is not used")
	f.DurationVar(&c.Timeout, "timeout", time.Minute, "how long one may take, with all that it waits for")
	f.DurationVar(&c.RetryAfter, "retry-after", 30*time.Second, "the longest time that one waits because a server asks for it")
	sizeVar(f, &c.ResponseBytes, "max-response", "longest content of an answer (1MiB)")
	f.StringVar(&c.KeyHeader, "key-header", "Idempotency-Key", "`header` that tells servers the idempotency key; - for none")
}

// newShell makes the command that runs the adapter of processes.
func newShell(a *app) *cobra.Command {
	var c shell.Config
	short := "Run the adapter that runs processes: \"run: {shell: …}\", scripts and containers"
	cmd := a.builtin("shell", short, func(log *slog.Logger) (*adapters.Adapter, error) {
		c.Log = log
		adapter, err := shell.New(c)
		if err != nil {
			return nil, usagef("%w", err)
		}
		return adapter, nil
	})
	f := cmd.Flags()
	f.StringVar(&c.User, "user", "", "`user` whose the processes are, a name or UID:GID (the adapter's own, which must not be root)")
	f.StringVar(&c.Work, "work", "", "`folder` in which each process gets one of its own (the system's for temporary files)")
	f.StringVar((*string)(&c.Secrets), "secrets", "", "`folder` of the definitions' secrets, NAMESPACE/NAME or NAMESPACE/NAME.json (none)")
	f.StringToStringVar(&c.Interpreters, "interpreter", nil,
		"`LANGUAGE=COMMAND` that runs scripts; several allowed (javascript=node and python=python3, where they are)")
	f.StringVar(&c.Engine, "engine", "", "`command` that runs containers, podman or docker (none: no containers)")
	f.StringSliceVar(&c.Volumes, "volume", nil, "`folder` of the host that containers may have, with all below; several allowed (none)")
	f.StringSliceVar(&c.Environment, "environment", nil,
		"`variable` of the adapter's environment that processes get; several allowed (PATH, LANG, LC_ALL, TZ)")
	f.IntVar(&c.Concurrency, "concurrency", 16, "how many processes of each activity run at once")
	f.DurationVar(&c.Timeout, "timeout", 5*time.Minute, "how long a process may run")
	f.DurationVar(&c.Grace, "grace", 5*time.Second, "how long a process has to end after it was asked to, before it is killed")
	f.Var(sizeValue[int64]{size: &c.Memory, none: true}, "memory", "most memory of each process or container; -1: unbounded (512MiB)")
	sizeVar(f, &c.OutputBytes, "max-output", "most that a process may write to each of its outputs (256KiB)")
	return cmd
}

// builtin makes the command that runs an adapter of this program.
func (a *app) builtin(name, short string, produce func(log *slog.Logger) (*adapters.Adapter, error)) *cobra.Command {
	var config adapters.Config
	run := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.logging(func(log *slog.Logger) error {
				config.Log, config.Token = log, a.sender()
				if f := a.client.secure.files(); f != nil {
					config.TLS = &adapters.TLS{CA: f.CA, Cert: f.Certificate, Key: f.Key, ServerName: f.ServerName}
				}
				adapter, err := produce(log)
				if err != nil {
					return err
				}
				if err := adapter.Run(cmd.Context(), config); err != nil {
					return fmt.Errorf("adapter %s: %w", name, err)
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
	return run
}
