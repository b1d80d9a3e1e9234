package outbound

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/holdfast-run/holdfast/adapters/sealed"
)

// Config says where requests may go, and how. The zero value of each field means its default.
type Config struct {
	// Allow lists where requests may go: names of hosts, such as api.example.com or *.example.com, addresses and networks, such as
	// 10.0.0.0/8; each perhaps with a port. A request needs an entry that fits its name, or its address if it names one; an address that
	// is refused by default needs one of its own. * allows all that is not. Default: everything that is not refused by default.
	Allow []string
	// Resolve gives hosts other addresses, HOST:PORT=ADDRESS:PORT. It stands for the entries of a name server, and allows these addresses.
	Resolve []string
	// CA is a file with the certificates, PEM, that those of servers must be signed by, beside the system's.
	CA string
	// Proxy is the address of a proxy, http://host:port, for all requests. The allow-list then checks names and given addresses alone. Default:
	// none.
	Proxy string
	// Secrets is a folder with the secrets of definitions, NAMESPACE/NAME or NAMESPACE/NAME.json. Default: there are none.
	Secrets sealed.Folder
	// Concurrency is how many requests of each activity are sent at once. Default 64.
	Concurrency int
	// Idle is how long a connection is kept that is not used. Default 30 s.
	Idle time.Duration
	// Timeout is how long a request may take, with all that it waits for. Default 1 min.
	Timeout time.Duration
	// RetryAfter is the longest time that a request waits because a server asks for it; longer ones fail at once. Default 30 s.
	RetryAfter time.Duration
	// ResponseBytes is the longest content of an answer, decompressed. Default 1 MiB.
	ResponseBytes int
	// KeyHeader is the header that tells servers the idempotency key; "-": none does. Default Idempotency-Key.
	KeyHeader string
	// Log takes what an operator should know. Default: nothing is logged.
	Log *slog.Logger
}

// WithDefaults returns the settings with their defaults.
func (c Config) WithDefaults() Config {
	c.Concurrency = cmp.Or(c.Concurrency, 64)
	c.Idle = cmp.Or(c.Idle, 30*time.Second)
	c.Timeout = cmp.Or(c.Timeout, time.Minute)
	c.RetryAfter = cmp.Or(c.RetryAfter, 30*time.Second)
	c.ResponseBytes = cmp.Or(c.ResponseBytes, 1<<20)
	c.KeyHeader = cmp.Or(c.KeyHeader, "Idempotency-Key")
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// The most that settings can be.
const (
	maxAtOnce   = 4096
	maxResponse = 64 << 20
)

// InRange says if a number, such as of connections, is not from 1 to 4096.
func InRange(name string, value int) error { return inRange(name, value, maxAtOnce) }

func inRange(name string, value, most int) error {
	if value < 1 || value > most {
		return fmt.Errorf("%s is %d, and must be from 1 to %d", name, value, most)
	}
	return nil
}

// Validate says everything that is wrong with the settings, but for those of the allow-list, which New reads.
func (c Config) Validate() error {
	errs := []error{
		InRange("concurrency", c.Concurrency), inRange("response bytes", c.ResponseBytes, maxResponse), c.Secrets.Validate(),
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"idle", c.Idle}, {"timeout", c.Timeout}, {"retry after", c.RetryAfter}} {
		if d.value <= 0 || d.value > 24*time.Hour {
			errs = append(errs, fmt.Errorf("%s is %v, and must be longer than 0, and 24h at most", d.name, d.value))
		}
	}
	if c.KeyHeader != noHeader && !httpguts.ValidHeaderFieldName(c.KeyHeader) {
		errs = append(errs, fmt.Errorf("key header %q is not the name of a header, or - for none", c.KeyHeader))
	}
	if c.Proxy != "" {
		if u, err := url.Parse(c.Proxy); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, fmt.Errorf("proxy %q is not of the form http://host:port", c.Proxy))
		}
	}
	return errors.Join(errs...)
}

// noHeader says that no header is sent.
const noHeader = "-"

// Key returns the name of the header that tells servers the idempotency key; "" if none does.
func (c Config) Key() string {
	if c.KeyHeader == noHeader {
		return ""
	}
	return c.KeyHeader
}
