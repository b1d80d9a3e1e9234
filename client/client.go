package client

import (
	"fmt"
	"math/rand/v2"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/eventv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Client is a connection to nodes. It is safe for concurrent use. Close it.
type Client struct {
	config Config
	random func() float64
	conn   *grpc.ClientConn
	owners *owners

	orders      orderv1.OrderServiceClient
	definitions definitionv1.DefinitionServiceClient
	admin       adminv1.AdminServiceClient
	events      eventv1.EventServiceClient
}

// New makes a connection to nodes, without waiting for it. It fails only if the settings are wrong.
func New(c Config) (*Client, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	c = c.withDefaults()
	addresses := make([]resolver.Address, len(c.Addresses))
	for i, address := range c.Addresses {
		complete, err := CompleteAddress(address, Port)
		if err != nil {
			return nil, err
		}
		addresses[i] = given(c.endpoint(complete))
	}
	nodes := manual.NewBuilderWithScheme("holdfast")
	nodes.InitialState(resolver.State{Addresses: addresses})
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	out := &Client{config: c, random: rand.Float64}
	out.owners = newOwners(out, nodes, addresses)
	options := []grpc.DialOption{
		grpc.WithResolvers(nodes),
		// There is a connection to each node: one that doesn't answer is passed over, and each repetition asks another one.
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"` + balancing + `":{}}]}`),
		grpc.WithTransportCredentials(transport),
		grpc.WithNoProxy(),
		grpc.WithUserAgent(c.UserAgent),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(c.MaxAnswer)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: c.Backoff.Initial, Multiplier: 2, Jitter: c.Backoff.Jitter, MaxDelay: c.Backoff.Max,
			},
			MinConnectTimeout: c.ConnectTimeout,
		}),
		// So that a stream ends when its node is gone without a word.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: c.KeepAlive, Timeout: c.KeepAliveTimeout}),
		// gRPC would else measure the connection by a ping for each message, which is dear where messages are few.
		grpc.WithInitialWindowSize(1 << 20), grpc.WithInitialConnWindowSize(4 << 20),
		grpc.WithUnaryInterceptor(out.repeated),
	}
	if c.Token != nil {
		options = append(options, grpc.WithPerRPCCredentials(c.Token))
	}
	if out.conn, err = grpc.NewClient("holdfast:///nodes", append(options, c.DialOptions...)...); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	out.orders, out.definitions = orderv1.NewOrderServiceClient(out.conn), definitionv1.NewDefinitionServiceClient(out.conn)
	out.admin, out.events = adminv1.NewAdminServiceClient(out.conn), eventv1.NewEventServiceClient(out.conn)
	return out, nil
}

// Close ends the connection, and with it all calls and streams. Close submitters before.
func (c *Client) Close() error {
	c.owners.close()
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("close connection: %w", err)
	}
	return nil
}

// Orders returns the service that submits orders and tells how they fare.
func (c *Client) Orders() orderv1.OrderServiceClient { return c.orders }

// Definitions returns the service that deploys definitions and looks them up.
func (c *Client) Definitions() definitionv1.DefinitionServiceClient { return c.definitions }

// Events returns the service that publishes events.
func (c *Client) Events() eventv1.EventServiceClient { return c.events }

// Admin returns the service for operators. The addresses must be those of the nodes' administration.
func (c *Client) Admin() adminv1.AdminServiceClient { return c.admin }

// Conn returns the connection itself, for other services of the nodes, and for its state.
func (c *Client) Conn() *grpc.ClientConn { return c.conn }
