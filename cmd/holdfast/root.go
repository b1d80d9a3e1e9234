package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/supervision"
)

// Exit statuses.
const (
	exitOK        = 0
	exitError     = 1
	exitUsage     = 2
	exitFaulted   = 3
	exitCancelled = 4
	exitTimeout   = 5
)

// app is one run of the program: what it was given, and the settings that all commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        func() []string
	// terminal returns the columns of the terminal behind a writer; 0 if there is none.
	terminal func(io.Writer) int

	// config holds what the configuration file says, once the command runs.
	config *koanf.Koanf
	// running tells that the arguments were understood.
	running bool

	configFile          string
	output              string // table or json
	logLevel, logFormat string
	client              clientSettings
}

// newRoot makes the command with all of its subcommands.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "Process work orders, whatever fails on the way",
		Long: "Holdfast processes work orders. A node writes each order to disk before it acknowledges it, and completes it\n" +
			"by means of adapters, processes that talk to the systems downstream.\n\n" +
			"Settings marked [env] are read from flags, else from the environment (--log-level from HOLDFAST_LOG_LEVEL),\n" +
			"else from the YAML file that --config or HOLDFAST_CONFIG names (log_level: debug).",
		SilenceUsage:  true,
		SilenceErrors: true,
		// A subcommand with a PersistentPreRunE of its own would replace this one.
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.configure(cmd); err != nil {
				return err
			}
			a.running = true
			return nil
		},
	}
	asGroup(root)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })

	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "YAML `file` with settings")
	flags.StringVarP(&a.output, "output", "o", "table", "how to print: table or json")
	flags.StringVar(&a.logLevel, "log-level", "info", "least severe `level` to log: debug, info, warn or error")
	flags.StringVar(&a.logFormat, "log-format", "text", "`format` of logs: text or json")
	setting(flags, "output", "log-level", "log-format")
	complete(root, "output", "table", "json")
	complete(root, "log-level", "debug", "info", "warn", "error")
	complete(root, "log-format", "text", "json")

	root.AddCommand(
		newOrder(a),
		newDefinition(a),
		newKey(a),
		newFallout(a), newStatus(a),
		newDev(a),
		newNode(a),
		newAdapter(a),
		newJournal(a),
		newBench(a),
		newVersion(a),
	)
	return root
}

// run runs the program and returns its exit status.
func run(ctx context.Context, a *app, args []string) int {
	root := newRoot(a) //nolint:contextcheck // commands get it when they run
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var ended endedError
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &ended):
		return ended.status()
	case errors.As(err, &usage) || !a.running:
		fmt.Fprintf(a.stderr, "holdfast: %s\nRun '%s --help' for usage.\n", clean(err.Error()), cmd.CommandPath())
		return exitUsage
	}
	text, status := a.describe(ctx, err)
	fmt.Fprint(a.stderr, text)
	return status
}

// usageError says that a command was used wrongly.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// asGroup makes cmd a command that only has subcommands: any other word, or none, is wrong usage.
func asGroup(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		err := usagef("there is no command %q in %q", args[0], cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			err = usagef("%w: do you mean %s?", err, strings.Join(near, " or "))
		}
		return err
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cmd.SetOut(cmd.ErrOrStderr())
		_ = cmd.Help()
		return usagef("a command is missing")
	}
}

// complete offers fixed values for a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	offer := cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc(flag, offer); err != nil {
		panic(err) // there is no such flag, or it is told twice
	}
}

// flushLogs is how long the last lines of a log may take to be written.
const flushLogs = time.Second

// logging runs a part that lives long, with a logger that never blocks it, whatever becomes of the reader.
func (a *app) logging(run func(*slog.Logger) error) error {
	relay := supervision.NewRelay(a.stderr, "", 0)
	err := run(a.logger(relay))
	ctx, cancel := context.WithTimeout(context.Background(), flushLogs)
	defer cancel()
	_ = relay.Close(ctx) // there is nobody left to tell
	return err
}

// logger makes a logger in the format and from the level that were set.
func (a *app) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		level = slog.LevelInfo // checked when it was read
	}
	options := &slog.HandlerOptions{Level: level}
	if a.logFormat == outputJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
