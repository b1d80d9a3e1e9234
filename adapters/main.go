package adapters

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/supervision"
)

// The exit codes of Main.
const (
	exitDrained = 0
	exitFailed  = 1
	exitUsage   = 2
)

// ServerEnv is the environment variable that names the nodes if no flag does, separated by commas.
const ServerEnv = "HOLDFAST_SERVER"

// Main runs the adapter as a process of its own, and doesn't return. It takes its configuration from flags (-help lists
// them) and the environment, logs to stderr, and drains on SIGTERM and SIGINT; a second signal ends it at once. A log that
// nobody reads, or that is blocked, neither ends it nor holds it up. Exit codes: 0 drained, 1 failed, 2 wrong usage.
func Main(a *Adapter) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // a second signal has its default effect
	stderr := supervision.NewRelay(os.Stderr, "", 0)
	supervision.Outlive(stderr)
	code := a.main(ctx, os.Args[1:], os.Getenv, stderr)
	stop()
	flushing, cancel := context.WithTimeout(context.Background(), flushLog)
	_ = stderr.Close(flushing) // what a blocked output can't take is lost
	cancel()
	os.Exit(code)
}

// flushLog is how long the last lines of the log may take to be written.
const flushLog = time.Second

func (a *Adapter) main(ctx context.Context, args []string, env func(string) string, stderr io.Writer) int {
	config, err := a.configure(args, env, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDrained
	case err != nil:
		return exitUsage // the flag package said why
	}
	if err := a.Run(ctx, config); err != nil {
		config.Log.Error("adapter ends", "error", err)
		return exitFailed
	}
	config.Log.Info("adapter ends: drained")
	return exitDrained
}

// configure reads the flags and the environment.
func (a *Adapter) configure(args []string, env func(string) string, stderr io.Writer) (Config, error) {
	var (
		config Config
		level  slog.Level
	)
	flags := flag.NewFlagSet("adapter "+a.name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("server", "address of a node, host:port; repeated or separated by commas; else $"+ServerEnv+
		" (default "+DefaultServer+")", func(s string) error {
		servers, err := splitServers(s)
		config.Servers = append(config.Servers, servers...)
		return err
	})
	flags.StringVar(&a.name, "name", a.name, "the adapter's name: the part before the dot in adapter.activity")
	secured := secureFlags(flags, env)
	token := tokenFlags(flags, env)
	flags.StringVar(&config.LedgerDir, "ledger", "", "folder for what the adapter knows about its work, for this process alone, "+
		"so that it survives a restart (default none)")
	flags.StringVar(&config.Health, "health", "", "address where /livez tells whether the adapter makes progress, host:port (default none)")
	flags.DurationVar(&config.DrainTimeout, "drain-timeout", 30*time.Second, "how long to finish what was started when ended")
	flags.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flags.IntVar(&config.LogRate, "log-rate", 200, "the most lines a second that are logged about attempts; -1: any number")
	format := flags.String("log-format", "text", "text or json")
	if err := flags.Parse(args); err != nil {
		return config, err //nolint:wrapcheck // the flag package has printed it
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "unexpected argument %q: only flags are taken, see -help\n", flags.Arg(0))
		return config, errors.New("unexpected argument")
	}
	options := &slog.HandlerOptions{Level: level}
	switch *format {
	case "text":
		config.Log = slog.New(slog.NewTextHandler(stderr, options))
	case "json":
		config.Log = slog.New(slog.NewJSONHandler(stderr, options))
	default:
		fmt.Fprintf(stderr, "log format %q: text or json is expected\n", *format)
		return config, errors.New("wrong log format")
	}
	config.Log = config.Log.With("adapter", a.name)
	var err error
	if config.TLS, err = secured(); err != nil {
		fmt.Fprintln(stderr, err)
		return config, err
	}
	if config.Token, err = token(); err != nil {
		fmt.Fprintln(stderr, err)
		return config, err
	}
	if named := env(ServerEnv); len(config.Servers) == 0 && named != "" {
		if config.Servers, err = splitServers(named); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", ServerEnv, err)
			return config, err
		}
	}
	return config, nil
}

func splitServers(s string) ([]string, error) {
	servers := strings.Split(s, ",")
	for i, server := range servers {
		servers[i] = strings.TrimSpace(server)
		if err := checkAddress(servers[i]); err != nil {
			return nil, fmt.Errorf("%q: %w", server, err)
		}
	}
	return servers, nil
}
