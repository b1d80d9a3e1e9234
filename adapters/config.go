package adapters

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/supervision"
	"github.com/holdfast-run/holdfast/tokens"
)

// Config says where the nodes are, and how a running adapter behaves. The zero value of each field means its default.
type Config struct {
	// Servers are the addresses of nodes, host:port; at least one. Nodes announce the others. Default 127.0.0.1:7460.
	Servers []string
	// Log takes what an operator should know. Default: nothing is logged.
	Log *slog.Logger
	// LogRate is the most lines a second that the log gets about attempts. How many were left out is told when the second is over.
	// Default 200; negative: any number.
	LogRate int
	// TLS secures the connections. Default: none, the connections are in plain text.
	TLS *TLS
	// Token is sent to the nodes, for those that ask who connects. Default: none.
	Token *tokens.Sender
	// DrainTimeout is how long Run goes on when it should stop, to finish what was started and to have its results
	// acknowledged. Then activities are interrupted. Run goes on for ten seconds more if one ignores that. Default 30 s.
	DrainTimeout time.Duration
	// ResendAfter is how long a result stays unacknowledged before it is sent again, give or take a fifth. Default 10 s.
	ResendAfter time.Duration
	// KeepResults is how many acknowledged final results are remembered, to answer late repeats. Default 100,000.
	KeepResults int
	// KeepBytes bounds the sum of their outputs. Default 64 MiB.
	KeepBytes int
	// KeepFor is how long they are remembered after their last use. Default 1 h.
	KeepFor time.Duration
	// LedgerDir is a folder in which the adapter keeps what it has begun and what came of it, so that a process that comes after
	// it knows: it must be this process's alone, and not be copied. Default: none, and the knowledge ends with the process.
	LedgerDir string
	// MaxUnacked is how many results may wait for their acknowledgement, or steps for the disk, before no more tasks are asked
	// for. Default 2,048.
	MaxUnacked int
	// Restarts is how often an activity actor may fail before Run ends with an error, and how soon it is restarted.
	// Default: 10 times a minute, after 50 ms to 10 s.
	Restarts supervision.Policy
	// Health is where /livez is served, host:port: it answers 200 while the adapter makes progress. On a loopback address it
	// answers only requests for this machine. Default: nowhere.
	Health string
	// DialOptions are added to those of each connection, such as another window: the node sends 1 MiB that was not taken yet.
	DialOptions []grpc.DialOption
}

// TLS names the files of a secure connection, all of them PEM. They are read again when they have changed.
type TLS struct {
	// CA holds the certificates that a node's must be signed by. Default: the system's.
	CA string
	// Cert and Key identify the adapter to the nodes. Both or none.
	Cert, Key string
	// ServerName is a name that the certificates of all nodes have. Default: each has the name, or the IP address, at which it is
	// reached: as it is configured, or as nodes announce it.
	ServerName string
}

// The bounds that need no configuration.
const (
	maxNodes      = 256      // streams, one to each node
	maxReceive    = 64 << 20 // bytes of a message from a node
	receiveWindow = 1 << 20  // bytes that a node sends before they are taken
	frameBytes    = 30 << 10 // of results in one message, unless one alone is longer: gRPC clears 1 MiB for more than 32 KiB
)

func (c Config) withDefaults() Config {
	if len(c.Servers) == 0 {
		c.Servers = []string{DefaultServer}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 30*time.Second)
	c.ResendAfter = cmp.Or(c.ResendAfter, 10*time.Second)
	c.KeepResults = cmp.Or(c.KeepResults, 100_000)
	c.KeepBytes = cmp.Or(c.KeepBytes, 64<<20)
	c.KeepFor = cmp.Or(c.KeepFor, time.Hour)
	c.MaxUnacked = cmp.Or(c.MaxUnacked, 2048)
	c.LogRate = cmp.Or(c.LogRate, 200)
	c.Restarts = cmp.Or(c.Restarts, supervision.Policy{
		MaxRestarts: 10, Within: time.Minute,
		Backoff: supervision.Backoff{Initial: 50 * time.Millisecond, Max: 10 * time.Second, Jitter: 0.5},
	})
	return c
}

// DefaultServer is where a node listens by default.
const DefaultServer = "127.0.0.1:7460"

// longestSetting is the longest time that can be set. The present and a longer one may add up to a time that can't be represented.
const longestSetting = 10 * 365 * 24 * time.Hour

// validate says everything that is wrong with the settings.
func (c Config) validate() error {
	var errs []error
	if len(c.Servers) > maxNodes {
		errs = append(errs, fmt.Errorf("%d servers are given, more than %d", len(c.Servers), maxNodes))
	}
	for _, server := range c.Servers {
		if err := checkAddress(server); err != nil {
			errs = append(errs, fmt.Errorf("server %q: %w", server, err))
		}
	}
	if c.Health != "" {
		if _, _, err := net.SplitHostPort(c.Health); err != nil {
			errs = append(errs, fmt.Errorf("health %q: host:port is expected, such as 127.0.0.1:7470", c.Health))
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"drain timeout", c.DrainTimeout}, {"resend after", c.ResendAfter}, {"keep for", c.KeepFor}} {
		if d.value < 0 || d.value > longestSetting {
			errs = append(errs, fmt.Errorf("%s is %v, and must be from 0 to %v", d.name, d.value, longestSetting))
		}
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"keep results", c.KeepResults}, {"keep bytes", c.KeepBytes}, {"max unacked", c.MaxUnacked}} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("%s %d is negative", n.name, n.value))
		}
	}
	if c.Token != nil {
		if err := c.Token.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	if err := c.Restarts.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("restarts: %w", err))
	}
	return errors.Join(errs...)
}

func checkAddress(server string) error {
	host, port, err := net.SplitHostPort(server)
	if err != nil || host == "" || port == "" {
		return errors.New("host:port is expected, such as 127.0.0.1:7460")
	}
	return nil
}

// transport returns the credentials of the connections.
func (c Config) transport() (credentials.TransportCredentials, error) {
	if c.TLS == nil {
		return certificates.Plaintext(), nil
	}
	files := certificates.Client{
		CA: c.TLS.CA, Certificate: c.TLS.Cert, Key: c.TLS.Key, ServerName: c.TLS.ServerName,
		Bad: func(err error) { c.Log.Warn("new certificates can't be used: those before stay", "error", err) },
	}
	transport, err := files.Credentials()
	if err != nil {
		return nil, fmt.Errorf("secure the connections: %w", err)
	}
	return transport, nil
}
