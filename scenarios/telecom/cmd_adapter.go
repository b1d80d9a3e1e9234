package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/supervision"
)

func adapterCommand() *cobra.Command {
	var servers []string
	o := offers{}
	c := &cobra.Command{
		Use:   "adapter NAME",
		Short: "Run the adapter for one system",
		Long: "Run the adapter for one system: it executes the activities that nodes ask for, by requests to its downstream.\n" +
			"For nodes that speak TLS it takes HOLDFAST_CA, HOLDFAST_CLIENT_CERT, HOLDFAST_CLIENT_KEY and HOLDFAST_SERVER_NAME.",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: systemNames(),
		RunE: func(c *cobra.Command, args []string) error {
			if !c.Flags().Changed("server") {
				if env := os.Getenv("HOLDFAST_SERVER"); env != "" {
					servers = strings.Split(env, ",")
				}
			}
			secure, err := adapters.TLSOf(os.Getenv)
			if err != nil {
				return fmt.Errorf("secure the connections: %w", err)
			}
			token, err := adapters.TokenOf(os.Getenv)
			if err != nil {
				return fmt.Errorf("read the token: %w", err)
			}
			o.Adapter = adapters.New(args[0])
			activities[args[0]](o)
			log := supervision.NewRelay(c.ErrOrStderr(), "", 0)
			supervision.Outlive(log)
			err = o.Run(c.Context(), adapters.Config{
				Servers: servers, TLS: secure, Token: token, Log: slog.New(slog.NewJSONHandler(log, nil)).With("adapter", args[0]),
			})
			flushing, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), time.Second)
			defer cancel()
			_ = log.Close(flushing) // what a blocked output can't take is lost
			return err
		},
	}
	f := c.Flags()
	f.StringSliceVar(&servers, "server", []string{adapters.DefaultServer},
		"address of a node; may be repeated; by default what HOLDFAST_SERVER says")
	f.StringVar(&o.downstream, "downstream", "", "URL of the downstream, as it prints it")
	f.IntVar(&o.concurrency, "concurrency", 16, "how many tasks of each activity to execute at once")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long the downstream may take over a request")
	cobra.CheckErr(c.MarkFlagRequired("downstream"))
	return c
}
