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
	// outlive has the process go on when nobody reads its output any more, and takes what libraries log; nil: it isn't
	// this program's process.
	outlive func(log io.Writer)
	// relays are what stands before the outputs of a command that lives long.
	relays []*supervision.Relay

	// config holds what the configuration file says, once the command runs.
	config *koanf.Koanf
	// environment holds what the environment says.
	environment *koanf.Koanf
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
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{flagError(err)} })
	a.setHelp(root)

	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "YAML `file` with settings")
	flags.StringVarP(&a.output, "output", "o", "table",
		"how to print: table (as wide as the terminal at most, whole into a pipe) or json (all there is)")
	flags.StringVar(&a.logLevel, "log-level", "info", "least severe `level` to log: debug, info, warn or error")
	flags.StringVar(&a.logFormat, "log-format", "text", "`format` of logs: text or json")
	setting(flags, "output", "log-level", "log-format")
	a.tokenFlags(flags)
	complete(root, "output", "table", "json")
	complete(root, "log-level", "debug", "info", "warn", "error")
	complete(root, "log-format", "text", "json")

	root.AddCommand(
		newOrder(a),
		newDefinition(a),
		newEvent(a), newSchedule(a),
		newKey(a),
		newFallout(a), newStatus(a), newCluster(a), newAudit(a),
		newDev(a),
		newNode(a),
		newAdapter(a),
		newJournal(a),
		newToken(a), newLogin(a), newLogout(a),
		newBench(a),
		newVersion(a),
	)
	return root
}

// run runs the program and returns its exit status.
func run(ctx context.Context, a *app, args []string) int {
	defer a.flush()    //nolint:contextcheck // it has a second, also when ctx has ended
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
		fmt.Fprintf(a.stderr, "%sRun '%s --help' for usage.\n", textError(err), cmd.CommandPath())
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

// flushOutputs is how long the last lines of a command that lives long may take to be written.
const flushOutputs = time.Second

// liveLong makes sure that the outputs of a command that runs until it is told to stop never hold it up or end it, whatever
// becomes of their readers.
func (a *app) liveLong() {
	for _, output := range []*io.Writer{&a.stdout, &a.stderr} {
		relay := supervision.NewRelay(*output, "", 0)
		a.relays, *output = append(a.relays, relay), relay
	}
	if a.outlive != nil {
		a.outlive(a.stderr)
	}
}

// flush gives what a command that lived long has said a second to be seen.
func (a *app) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), flushOutputs)
	defer cancel()
	for _, relay := range a.relays {
		_ = relay.Close(ctx) // what a blocked output can't take is lost
	}
}

// logging runs a part that lives long, with a logger that never holds it up.
func (a *app) logging(run func(*slog.Logger) error) error {
	a.liveLong()
	return run(a.logger(a.stderr))
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
