package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/supervision"
)

const (
	defaultServer = "127.0.0.1:7460"
	defaultPort   = "7460"
	// defaultAdmin is the address of a node's administration.
	defaultAdmin     = "127.0.0.1:7461"
	defaultAdminPort = "7461"
	// callTimeout bounds a call if --timeout doesn't.
	callTimeout = 30 * time.Second
	// maxAnswer bounds one message from a node, in bytes.
	maxAnswer = 64 << 20
)

// retryBackoff delays repetitions of calls.
var retryBackoff = supervision.Backoff{ //nolint:gochecknoglobals // a constant
	Initial: 50 * time.Millisecond, Max: 2 * time.Second, Jitter: 0.3,
}

// clientSettings say how to reach nodes.
type clientSettings struct {
	servers   []string
	admin     string
	timeout   time.Duration
	reconnect time.Duration

	// asked are the addresses that the command asked, and flag what gave them; once it did.
	asked []string
	flag  string
}

// clientFlags gives a command, and its subcommands, the flags of a client.
func (a *app) clientFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringSliceVar(&a.client.servers, "server", []string{defaultServer},
		"`address` of a node, host:port; several: any that answers is asked")
	flags.DurationVar(&a.client.timeout, "timeout", 0,
		"give up after this time (0: 30s for a call, no limit for the end of an order)")
	setting(flags, "server", "timeout")
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
}

// api is a connection to the nodes.
type api struct {
	conn        *grpc.ClientConn
	orders      orderv1.OrderServiceClient
	definitions definitionv1.DefinitionServiceClient
	admin       adminv1.AdminServiceClient
}

// dial makes a connection to the nodes, without waiting for it. Close it.
func (a *app) dial() (*api, error) { return a.dialAt("--server", defaultPort, a.client.servers...) }

// dialAdmin makes a connection to a node's administration.
func (a *app) dialAdmin() (*api, error) { return a.dialAt("--admin", defaultAdminPort, a.client.admin) }

func (a *app) dialAt(flag, port string, servers ...string) (*api, error) {
	a.client.asked, a.client.flag = servers, flag
	var addresses []resolver.Address
	for _, server := range servers {
		address, err := completeAddress(flag, server, port)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, resolver.Address{Addr: address})
	}
	if len(addresses) == 0 {
		return nil, usagef("%s names no node: give its host:port", flag)
	}
	nodes := manual.NewBuilderWithScheme("holdfast")
	nodes.InitialState(resolver.State{Addresses: addresses})
	conn, err := grpc.NewClient("holdfast:///nodes",
		grpc.WithResolvers(nodes),
		// A node that doesn't answer is passed over, and each repetition asks another one.
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: retryBackoff.Initial, Multiplier: 2, Jitter: retryBackoff.Jitter, MaxDelay: retryBackoff.Max,
			},
			MinConnectTimeout: 3 * time.Second,
		}),
		// So that a watch ends when its node is gone without a word.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 5 * time.Second}),
	)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &api{
		conn: conn, orders: orderv1.NewOrderServiceClient(conn), definitions: definitionv1.NewDefinitionServiceClient(conn),
		admin: adminv1.NewAdminServiceClient(conn),
	}, nil
}

func (c *api) close() { _ = c.conn.Close() } // it fails only if it was closed before

// completeAddress completes the address that a flag gives with the default port.
func completeAddress(flag, server, defaultPort string) (string, error) {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		host, port, err = net.SplitHostPort(net.JoinHostPort(server, defaultPort))
	}
	if err != nil || host == "" || port == "" {
		return "", usagef("%s %q is not of the form host:port", flag, server)
	}
	return net.JoinHostPort(host, port), nil
}

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

// comeBack tells whether an error goes away by itself, and when to try again; attempt counts the failures in a row.
func comeBack(err error, attempt int) (time.Duration, bool) {
	st, _ := rpcStatus(err)
	if st.Code() != codes.Unavailable && st.Code() != codes.ResourceExhausted {
		return 0, false
	}
	delay := retryBackoff.Next(attempt, rand.Float64)
	asked := false
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			delay = max(delay, min(info.GetRetryDelay().AsDuration(), time.Minute))
			asked = true
		}
	}
	// Without being asked to come back, a node that has no room will not have it soon: the message is too large.
	return delay, asked || st.Code() == codes.Unavailable
}

// pause waits, and tells whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// patience is how long a command goes on while no node takes what it asks for.
type patience struct {
	most time.Duration
	// what has not come about, should the time be over, and the timeout that bounds that time; 0: none does.
	what    string
	timeout time.Duration
	// tell is told of the first failure of each interruption.
	tell     func(error)
	failures int       // in a row
	lost     time.Time // when the present interruption began
}

// after waits, after a failure, until it is time to try again. It returns why that is of no use, if so, or that the time is over.
func (p *patience) after(ctx context.Context, failure error) error {
	err := p.wait(ctx, failure)
	if !isOver(ctx, err) {
		return err
	}
	return late(p.what, p.timeout, cmp.Or(err, failure))
}

// wait waits until it is time to try again. It returns why that is of no use, if so, or the failure if ctx has ended.
func (p *patience) wait(ctx context.Context, failure error) error {
	p.failures++
	delay, again := comeBack(failure, p.failures)
	if !again || ctx.Err() != nil {
		return failure
	}
	if p.failures == 1 {
		p.lost = time.Now()
		p.tell(failure)
	}
	left := p.most - time.Since(p.lost)
	if left <= 0 {
		return fmt.Errorf("gave up after %v (--reconnect): %w", p.most, failure)
	}
	if !pause(ctx, min(delay, left)) {
		return failure
	}
	return nil
}

// lateError says what has not come about in time.
type lateError struct{ text string }

func (e lateError) Error() string { return e.text }

func (lateError) Is(target error) bool { return target == context.DeadlineExceeded }

// isOver tells whether a time has ended, whoever was the first to see it: a node, or ctx.
func isOver(ctx context.Context, err error) bool {
	st, _ := rpcStatus(err)
	return ctx.Err() != nil || st.Code() == codes.DeadlineExceeded
}

// late says what has not come about in time, and what stood in the way, if a node or the lack of one did. Without a timeout it
// is a node that had no time.
func late(what string, timeout time.Duration, err error) error {
	if timeout == 0 {
		return err
	}
	text := fmt.Sprintf("%s within %v (--timeout)", what, timeout)
	if _, inTheWay := comeBack(err, 1); inTheWay {
		st, _ := rpcStatus(err)
		text += ": " + textStatus(st)
	}
	return lateError{text}
}
