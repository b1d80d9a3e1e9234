package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/tokens"
)

const (
	defaultServer = "127.0.0.1:" + client.Port
	// defaultAdmin is the address of a node's administration.
	defaultAdmin = "127.0.0.1:" + client.AdminPort
	// callTimeout bounds a call if --timeout doesn't.
	callTimeout = 30 * time.Second
)

// clientSettings say how to reach nodes.
type clientSettings struct {
	servers   []string
	admin     string
	timeout   time.Duration
	reconnect time.Duration
	// secure is how connections to the nodes are secured, and adminSecure those to their administration.
	secure, adminSecure secureSettings

	// token is what is sent with each call, if it has any.
	token tokens.Sender
	// login is the file with the login, whose token is sent if no other one is given; empty: the usual one.
	login string

	// asked is whom the command asked, once it did.
	asked client.Asked
}

// clientFlags gives a command, and its subcommands, the flags of a client.
func (a *app) clientFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringSliceVar(&a.client.servers, "server", []string{defaultServer},
		"`address` of a node, host:port; several: any that answers is asked")
	flags.DurationVar(&a.client.timeout, "timeout", 0,
		"give up after this time (0: 30s for a call, no limit for the end of an order)")
	setting(flags, "server", "timeout")
	a.client.secure.flags(flags, "", "nodes")
}

// adminFlags gives a command, and its subcommands, the flags of a client of the administration.
func (a *app) adminFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	a.adminFlag(cmd)
	flags.DurationVar(&a.client.timeout, "timeout", 0, "give up after this time (0: 30s for a call, no limit for many orders)")
	setting(flags, "timeout")
}

// adminFlag gives a command the flag that says where a node's administration is.
func (a *app) adminFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&a.client.admin, "admin", defaultAdmin, "`address` of a node's administration, host:port")
	setting(cmd.PersistentFlags(), "admin")
	a.client.adminSecure.flags(cmd.PersistentFlags(), "admin-", "the administration")
}

// api is a connection to the nodes.
type api struct{ *client.Client }

// dial makes a connection to the nodes, without waiting for it. Close it.
func (a *app) dial() (*api, error) {
	return a.dialAt("server", client.Port, a.client.secure, a.client.servers...)
}

// dialAdmin makes a connection to a node's administration.
func (a *app) dialAdmin() (*api, error) {
	return a.dialAt("admin", client.AdminPort, a.client.adminSecure, a.client.admin)
}

// tokenFlags gives all commands the flags that say which token is sent.
func (a *app) tokenFlags(flags *pflag.FlagSet) {
	t := &a.client.token
	flags.StringVar(&t.Token, "token", "", "`token` that is sent to nodes; better in the environment: others see what a command is given")
	flags.StringVar(&t.File, "token-file", "", "`file` that has it")
	flags.BoolVar(&t.Anyway, "token-anyway", false, "send it in plain text to other machines, too")
	flags.StringVar(&a.client.login, "login-file", "",
		"`file` with what 'holdfast login' keeps (holdfast/login.json in the folder for configurations)")
	setting(flags, "token", "token-file", "token-anyway", "login-file")
}

// dialAt makes a connection to the nodes that a flag names. What waits for something says with each call how patient it is; other
// calls are tried once.
func (a *app) dialAt(flag, port string, secure secureSettings, servers ...string) (*api, error) {
	return a.dialBearing(a.sender(), flag, port, secure, servers...)
}

// dialBearing does the same, with what sends a token with each call; nil: none is sent.
func (a *app) dialBearing(token *tokens.Sender, flag, port string, secure secureSettings, servers ...string) (*api, error) {
	a.client.asked = client.Asked{
		Addresses: servers, Setting: "--" + flag + " or " + envPrefix + strings.ToUpper(flag), Trust: "--" + secure.prefix + "ca",
		Name: "--" + secure.prefix + "server-name", Own: "--" + secure.prefix + "client-cert and --" + secure.prefix + "client-key",
	}
	if len(servers) == 0 {
		return nil, usagef("--%s names no node: give its host:port", flag)
	}
	c := client.Config{CallTimeout: a.callBound(), Patience: -1, Files: secure.files(), Token: token}
	for _, server := range servers {
		address, err := client.CompleteAddress(server, port)
		if err != nil {
			return nil, usagef("--%s %w", flag, err)
		}
		c.Addresses = append(c.Addresses, address)
	}
	c.Unrouted = true // whoever names a node means that one: what it announces may be another one here, as behind a tunnel
	conn, err := client.New(c)
	if err != nil {
		return nil, usageError{err}
	}
	return &api{conn}, nil
}

func (c *api) close() { _ = c.Close() } // it fails only if it was closed before

// bound bounds the time of a call, or a few that belong together.
func (a *app) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.callBound())
}

// callBound is the bound of a call's time.
func (a *app) callBound() time.Duration {
	if a.client.timeout > 0 {
		return a.client.timeout
	}
	return callTimeout
}

// call connects to the nodes, and gives do a bounded time for a call, or a few that belong together.
func (a *app) call(ctx context.Context, dial func() (*api, error), do func(context.Context, *api) error) error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := a.bound(ctx)
	defer cancel()
	return do(ctx, c)
}

// boundWait bounds the time of waiting for the end of an order.
func (a *app) boundWait(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.client.timeout > 0 {
		return context.WithTimeout(ctx, a.client.timeout)
	}
	return context.WithCancel(ctx)
}

// patience is how long to go on while no node answers; tell is told when it is tried again.
func (a *app) patience(tell func(error)) client.Patience {
	return client.Patience{Most: max(a.client.reconnect, 1), Tell: tell}
}

// outcome says why something that was waited for has not come about: its time is over, or patience is.
func (a *app) outcome(ctx context.Context, err error, what string, timeout time.Duration) error {
	if gaveUp, ok := errors.AsType[*client.GaveUpError](err); ok {
		err = fmt.Errorf("gave up after %v (--reconnect): %w", a.client.reconnect, gaveUp.Err)
	}
	if !isOver(ctx, err) {
		return err
	}
	return late(what, timeout, err)
}

// lateError says what has not come about in time.
type lateError struct{ text string }

func (e lateError) Error() string { return e.text }

func (lateError) Is(target error) bool { return target == context.DeadlineExceeded }

// isOver tells whether a time has ended, whoever was the first to see it: a node, or ctx.
func isOver(ctx context.Context, err error) bool {
	st, _ := client.StatusOf(err)
	return err != nil && (ctx.Err() != nil || st.Code() == codes.DeadlineExceeded)
}

// late says what has not come about in time, and why, if a node or the lack of one was the reason. Without a timeout the reason is a node
// that had no time.
func late(what string, timeout time.Duration, err error) error {
	if timeout == 0 {
		return err
	}
	text := fmt.Sprintf("%s within %v (--timeout)", what, timeout)
	if client.Passes(err) {
		st, _ := client.StatusOf(err)
		text += ": " + textStatus(st)
	}
	return lateError{text}
}
