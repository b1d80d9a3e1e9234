package players

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/holdfast-run/holdfast/adapters"
)

// What makes the program a player.
const (
	Sleeper = "sleeper"
	Echoer  = "echoer"
	Frail   = "frail"
	Mortal  = "mortal"
	Gauge   = "gauge"
	Tally   = "tally"
)

// Exit statuses.
const (
	ended  = 0
	failed = 1
	usage  = 2
)

// part is what a player is given.
type part struct {
	flags  *flag.FlagSet
	config adapters.Config
	log    string // the file for what it does; empty: it writes nothing down
	lines  *lines // that file
}

// parts are the players by name. Each adds its flags, and returns what makes its adapter once they are known.
var parts = map[string]func(*part) func() *adapters.Adapter{ //nolint:gochecknoglobals // a table
	Sleeper: sleeper, Echoer: echoer, Frail: frailPlayer, Mortal: mortalPlayer, Gauge: gauge, Tally: tally,
}

// writes gives a player the flag that names its log.
func (p *part) writes(what string) { p.flags.StringVar(&p.log, "log", "", "file for "+what) }

// Run plays a part until ctx ends, if the first of the arguments names one, and returns the exit status.
func Run(ctx context.Context, args []string, stderr io.Writer) (status int, played bool) {
	if len(args) == 0 || parts[args[0]] == nil {
		return 0, false
	}
	name := args[0]
	p := &part{
		flags:  flag.NewFlagSet(name, flag.ContinueOnError),
		config: adapters.Config{Log: slog.New(slog.NewTextHandler(stderr, nil))},
	}
	p.flags.SetOutput(stderr)
	servers := p.flags.String("server", "", "addresses of nodes, with commas between")
	adapter := parts[name](p)
	if err := p.flags.Parse(args[1:]); err != nil {
		return usage, true // the flag package has printed it
	}
	p.config.Servers = strings.Split(*servers, ",")
	var err error
	if p.config.TLS, err = adapters.TLSOf(os.Getenv); err == nil {
		err = p.play(ctx, adapter)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return failed, true
	}
	return ended, true
}

// play runs the adapter.
func (p *part) play(ctx context.Context, adapter func() *adapters.Adapter) (err error) {
	if p.log != "" {
		if p.lines, err = openLines(p.log); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.lines.file.Close()) }()
	}
	return adapter().Run(ctx, p.config)
}
