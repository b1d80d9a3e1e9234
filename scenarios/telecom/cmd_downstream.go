package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func downstreamCommand() *cobra.Command {
	var (
		listen, logFile         string
		latency, jitter, outage time.Duration
		b                       behaviour
		noDedup                 bool
		unavailable, lose       map[string]int
		slow                    map[string]string
	)
	c := &cobra.Command{
		Use:   "downstream NAME",
		Short: "Stand in for one system of the operator",
		Long: `Stand in for one system of the operator: a small HTTP server that applies each idempotency key once, and appends a
line to its log for each request, before it answers. Prints its address when it listens.

Faults can be set by flags, and while it runs by PUT /control with any of latency_ms, jitter_ms, error_rate, lose_rate,
outage_until, refuse, unavailable, lose, slow. GET /control shows them.`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: systemNames(),
		RunE: func(c *cobra.Command, args []string) error {
			b.LatencyMS, b.JitterMS = latency.Milliseconds(), jitter.Milliseconds()
			b.Unavailable, b.Lose, b.Slow = unavailable, lose, map[string]int64{}
			if outage > 0 {
				b.OutageUntil = time.Now().Add(outage)
			}
			for text, s := range slow {
				d, err := time.ParseDuration(s)
				if err != nil {
					return fmt.Errorf("--slow %s=%s: %w", text, s, err)
				}
				b.Slow[text] = d.Milliseconds()
			}
			if err := b.validate(); err != nil {
				return err
			}
			log, err := openDownlog(logFile, !noDedup)
			if err != nil {
				return err
			}
			defer log.close()
			l, err := listenLoopback(c.Context(), listen)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "http://"+l.Addr().String())
			return newDownstream(args[0], log, b).serve(c.Context(), l)
		},
	}
	f := c.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:0", "loopback address to listen on; port 0: any free one")
	f.StringVar(&logFile, "log", "", "file to append a JSON line to for each request")
	f.DurationVar(&latency, "latency", 0, "how long a request takes, half of it before it is applied")
	f.DurationVar(&jitter, "jitter", 0, "most that chance adds to the latency")
	f.Float64Var(&b.ErrorRate, "error-rate", 0, "share of requests answered 503, nothing applied; 0 to 1")
	f.Float64Var(&b.LoseRate, "lose-rate", 0, "share of requests applied, but never answered; 0 to 1")
	f.DurationVar(&outage, "outage", 0, "answer 503 to everything for so long from the start")
	f.StringSliceVar(&b.Refuse, "refuse", nil, "answer 422 to requests with this argument; may be repeated")
	f.StringToIntVar(&unavailable, "unavailable", nil, "ARGUMENT=N: answer 503 to the first N requests with this argument")
	f.StringToIntVar(&lose, "lose", nil, "ARGUMENT=N: apply the first N requests with this argument, but do not answer")
	f.StringToStringVar(&slow, "slow", nil, "ARGUMENT=DURATION: take so much longer over requests with this argument")
	f.BoolVar(&noDedup, "no-dedup", false, "apply a key each time that it comes: for showing that the checker notices")
	cobra.CheckErr(c.MarkFlagRequired("log"))
	return c
}
