package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-run/holdfast/client/cloudevents"
)

// eventHTTPConfig says how events are taken by HTTP.
type eventHTTPConfig struct {
	// Listen is the address for those who publish, and Health that of pages about the process; empty: there are none.
	Listen, Health string
	TLS            listenerTLS
	Events         cloudevents.Config
	// Connections is the most connections at Listen, and AddressConnections the most from one address; 127.0.0.1 and ::1 may have all.
	Connections, AddressConnections int
	// Headers is the longest header of a request, in bytes.
	Headers int
	// RequestWithin is how long a request may take to come, and DrainTimeout how long requests may take to end when the process stops.
	RequestWithin, DrainTimeout time.Duration
	// Tokenless publishes what comes without a token also where nodes know this process by a certificate.
	Tokenless bool
}

// listener is that for those who publish.
func (c *eventHTTPConfig) listener() clientListener {
	return clientListener{"events by HTTP", "", "callers", c.Listen, &c.TLS}
}

func newEventHTTP(a *app) *cobra.Command {
	c := eventHTTPConfig{}
	cmd := &cobra.Command{
		Use:   "http",
		Short: "Take events by HTTP, and publish them",
		Long: "Takes CloudEvents by HTTP at /events/NAMESPACE, and publishes them at the nodes, in the foreground until it gets SIGTERM or\n" +
			"SIGINT. It speaks the HTTP protocol binding of CloudEvents 1.0: an event in headers and body (binary mode), in the body\n" +
			"(structured mode), or many (batched mode). It answers 204 when the events are durable, and else says why not: whoever gets\n" +
			"another answer, or none, sends the same again. The tokens of callers are passed on to the nodes, which decide what each may\n" +
			"do. It keeps nothing, and has no rights: run as many of them as you like.",
		Example: "  holdfast event http --listen 127.0.0.1:7480\n" +
			"  curl -i http://127.0.0.1:7480/events/telecom -H 'ce-specversion: 1.0' -H 'ce-id: 1' -H 'ce-source: /billing' \\\n" +
			"    -H 'ce-type: com.example.paid' -H 'content-type: application/json' -d '{\"order\":\"A-1\"}'",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.checkEventHTTP(&c, cmd.Flags()); err != nil {
				return usageError{err}
			}
			return a.logging(func(log *slog.Logger) error {
				if err := a.runEventHTTP(cmd.Context(), &c, log); err != nil {
					return fmt.Errorf("events by HTTP: %w", err)
				}
				return nil
			})
		},
	}
	a.addGroups(cmd, eventHTTPFlags(&c))
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	setting(cmd.Flags(), names...)
	return cmd
}

// eventHTTPFlags are the settings by their purpose. One that is 0 stands for its default, which the text tells.
func eventHTTPFlags(c *eventHTTPConfig) []flagGroup {
	e := &c.Events
	where := pflag.NewFlagSet("", pflag.ContinueOnError)
	where.SortFlags = false
	where.StringVar(&c.Listen, "listen", "127.0.0.1:7480", "`address` for those who publish")
	where.StringVar(&c.Health, "health", "", "`address` of /livez /readyz /metrics, host:port (none)")
	where.DurationVar(&c.DrainTimeout, "drain-timeout", 10*time.Second, "how long requests may take to end when the process stops")

	secured := pflag.NewFlagSet("", pflag.ContinueOnError)
	secured.SortFlags = false
	c.listener().flags(secured)

	who := pflag.NewFlagSet("", pflag.ContinueOnError)
	who.SortFlags = false
	who.BoolVar(&c.Tokenless, "tokenless", false,
		"publish what comes without a token also where --client-cert is given: nodes take it for this process's, with the roles of that")
	who.StringSliceVar(&e.Origins, "webhook-origin", nil,
		"`sender` of web hooks that is told, when it asks, that it may send; * for all; several allowed. Its token may be in the query (none)")

	bounds := pflag.NewFlagSet("", pflag.ContinueOnError)
	bounds.SortFlags = false
	sizeVar(bounds, &e.MaxBody, "max-body", "longest body of a request (4MiB)")
	bounds.IntVar(&e.MaxBatch, "max-batch", 0, "most events of one request; nodes take 1000 at most (1000)")
	bounds.IntVar(&e.MaxRequests, "max-requests", 0, "most requests that are published at once; further ones are told to come back (256)")
	sizeVar(bounds, &e.Bodies, "bodies",
		"most that all bodies may take; beyond it the request gives way that has been sending for longest. The process takes about three times "+
			"as much (64MiB)")
	sizeVar(bounds, &c.Headers, "max-headers", "longest header of a request (32KiB)")
	bounds.DurationVar(&c.RequestWithin, "request-within", 0, "how long a request may take to come (30s)")
	bounds.IntVar(&c.Connections, "max-connections", 0,
		"most connections; for a further one the one is closed that was silent for longest (1000)")
	bounds.IntVar(&c.AddressConnections, "max-address-connections", 0,
		"most connections from one address; 127.0.0.1 and ::1 may have all (a quarter of --max-connections)")
	return []flagGroup{
		{"Where it works", where},
		{"TLS of those who publish; off on loopback addresses only", secured},
		{"Who publishes", who},
		{"Bounds", bounds},
	}
}
