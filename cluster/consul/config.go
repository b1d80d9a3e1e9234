package consul

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-run/holdfast/messages"
)

// Config says how Consul is reached, and what this node is there. The zero value of a field means its default.
type Config struct {
	// Addresses are those of agents of Consul, as http://127.0.0.1:8500, or without the scheme; default: that one. One that does not
	// answer is left for the next. With more than one, the node may come to be registered with several agents; it counts as one.
	Addresses []string
	// Datacenter is the datacenter whose servers are asked; default: that of the agent.
	Datacenter string
	// Token is the ACL token: it must allow writing the service and its watermarks, and reading nodes; default: none, or what Consul's
	// own variable CONSUL_HTTP_TOKEN says. It is never logged.
	Token Token
	// TokenFile is a file that has the token, instead of Token. It is read again whenever a request fails.
	TokenFile string
	// TLS says how the agents are known; default: the connections are not encrypted, unless an address begins with https.
	TLS TLS
	// Service is the name of the service that all nodes of the cluster are, and no others; default "holdfast".
	Service string
	// Tags and Meta are given to the service beside what nodes need of each other, for whatever else reads it.
	Tags []string
	Meta map[string]string
	// TTL is how long the node counts as passing without a refresh; default 3 s, from 1 s to 1 min. All nodes must have the same.
	TTL time.Duration
	// Self is this incarnation of the node: the id of its service.
	Self messages.Incarnation
	// Announcement is what others need to know of the node.
	Announcement Announcement
	// Observe is told of every answer and every failure of the evidence and the watch, one at a time. It must be fast.
	Observe func(Observation)
	// Renew is asked before each refresh whether the node may go on as it is; it must be fast. A node that was paused for so long
	// that others may have taken over says no, so that it is not seen passing once more. Default: it may.
	Renew func() bool
	// Renewed is told of each refresh that Consul has confirmed, with the time at which it was sent; it must be fast. Default: nothing.
	Renewed func(sent time.Time)
	// Loop is called once for each loop, with its name. What it returns is called each time that the loop turns, at least every two
	// TTLs and two seconds, to show that it is not stuck; it must be fast. Default: nothing.
	Loop func(name string) (turn func())
	// Logger gets what an operator should know; default: slog's.
	Logger *slog.Logger
	// Random returns numbers from 0 up to, but not including, 1, for the jitter of delays; default: math/rand's.
	Random func() float64

	// dial makes the connections; tests have their own.
	dial dialer
}

// TLS says how agents of Consul are known, and how they know this node. Files are read again whenever a request fails.
type TLS struct {
	// CA is a file with the certificates that sign those of the agents; default: those that the host trusts.
	CA string
	// Cert and Key are files with the certificate that the node shows, and its key; both or neither.
	Cert, Key string
	// ServerName is the name that an agent's certificate must have; default: the host of its address.
	ServerName string
}

// Token is a secret: whatever writes it as text, writes stars.
type Token string

const stars = "***"

func (Token) String() string { return stars }

// GoString is what %#v writes.
func (Token) GoString() string { return stars }

// MarshalText is what encoders write.
func (Token) MarshalText() ([]byte, error) { return []byte(stars), nil }

// Bounds of a Config.
const (
	leastTTL = time.Second
	mostTTL  = time.Minute
	// Consul takes 64 pairs of meta, ours included, of 128 bytes and 512.
	mostMeta      = 48
	mostMetaKey   = 128
	mostMetaValue = 512
)

// nameForm is what names a service: it is part of names in DNS, and of keys.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

// selfForm is what an incarnation looks like: a host and a port perhaps, a slash, and what NewIncarnation adds.
var selfForm = regexp.MustCompile(`^[A-Za-z0-9._:\[\]-]{1,128}/[A-Za-z0-9-]{1,64}$`)

var metaKeyForm = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// withDefaults fills in what was left out and says everything that is wrong.
func (c Config) withDefaults() (Config, error) {
	if len(c.Addresses) == 0 {
		c.Addresses = []string{"http://127.0.0.1:8500"}
	}
	c.Service = cmp.Or(c.Service, "holdfast")
	c.TTL = cmp.Or(c.TTL, 3*time.Second)
	if c.Observe == nil {
		c.Observe = func(Observation) {}
	}
	if c.Renew == nil {
		c.Renew = func() bool { return true }
	}
	if c.Renewed == nil {
		c.Renewed = func(time.Time) {}
	}
	if c.Loop == nil {
		c.Loop = func(string) func() { return func() {} }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	if c.dial == nil {
		c.dial = (&net.Dialer{KeepAlive: c.TTL}).DialContext
	}
	return c, c.validate()
}

// Validate reports every mistake, files that can't be read included.
func (c Config) Validate() error {
	_, err := c.withDefaults()
	return err
}

func (c Config) validate() error {
	errs := []error{c.validateWay(), c.Announcement.validate()}
	if !nameForm.MatchString(c.Service) {
		errs = append(errs, fmt.Errorf("consul: Service is %q: it must be up to 63 letters, digits and hyphens, not at an end", c.Service))
	}
	if c.TTL < leastTTL || c.TTL > mostTTL {
		errs = append(errs, fmt.Errorf("consul: TTL is %v: it must be from %v to %v", c.TTL, leastTTL, mostTTL))
	}
	if !selfForm.MatchString(string(c.Self)) {
		errs = append(errs, fmt.Errorf("consul: Self is %q: it must be a name, such as a host and a port, a slash, and an id", c.Self))
	}
	if slices.Contains(c.Tags, "") {
		errs = append(errs, errors.New("consul: Tags has an empty one"))
	}
	if len(c.Meta) > mostMeta {
		errs = append(errs, fmt.Errorf("consul: Meta has %d pairs, more than %d", len(c.Meta), mostMeta))
	}
	for _, key := range slices.Sorted(maps.Keys(c.Meta)) {
		switch {
		case !metaKeyForm.MatchString(key) || len(key) > mostMetaKey:
			errs = append(errs, fmt.Errorf("consul: Meta has the key %q: it must be up to %d letters, digits, _ and -", key, mostMetaKey))
		case slices.Contains(announcedKeys, key):
			errs = append(errs, fmt.Errorf("consul: Meta has the key %q, which is the node's own", key))
		case len(c.Meta[key]) > mostMetaValue:
			errs = append(errs, fmt.Errorf("consul: Meta has %d bytes for %q, more than %d", len(c.Meta[key]), key, mostMetaValue))
		}
	}
	return errors.Join(errs...)
}

// validateWay checks how Consul is reached.
func (c Config) validateWay() error {
	var errs []error
	for _, address := range c.Addresses {
		if _, _, err := c.parse(address); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Token != "" && c.TokenFile != "" {
		errs = append(errs, errors.New("consul: both Token and TokenFile are given"))
	}
	if _, err := c.token(); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.TLS.config(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// parse splits an address into a scheme and the host with its port.
func (c Config) parse(address string) (scheme, host string, err error) {
	full := address
	if !strings.Contains(full, "://") {
		scheme = "http"
		if c.TLS != (TLS{}) {
			scheme = "https"
		}
		full = scheme + "://" + full
	}
	u, err := url.Parse(full)
	switch {
	case err != nil:
		// The text of the error may have a password in it.
		return "", "", errors.New("consul: Addresses has one that can't be read: it must be as http://127.0.0.1:8500")
	case u.User != nil:
		return "", "", fmt.Errorf("consul: Addresses has %q: it must not have a user or password", u.Redacted())
	case u.Scheme != "http" && u.Scheme != "https", u.Port() == "", u.Hostname() == "", strings.Trim(u.Path, "/") != "", u.RawQuery != "":
		return "", "", fmt.Errorf("consul: Addresses has %q: it must be as http://127.0.0.1:8500", address)
	case u.Scheme == "http" && c.TLS != (TLS{}):
		return "", "", fmt.Errorf("consul: Addresses has %q, and TLS is set: it must begin with https", address)
	}
	return u.Scheme, u.Host, nil
}

// token returns the ACL token as it is now.
func (c Config) token() (Token, error) {
	if c.TokenFile == "" {
		return c.Token, nil
	}
	text, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("consul: TokenFile: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("consul: TokenFile %s is empty", c.TokenFile)
	}
	return Token(token), nil
}

// config reads the files.
func (t TLS) config() (*tls.Config, error) {
	c, err := api.SetupTLSConfig(&api.TLSConfig{Address: t.ServerName, CAFile: t.CA, CertFile: t.Cert, KeyFile: t.Key})
	if err != nil {
		return nil, fmt.Errorf("consul: TLS: %w", err)
	}
	c.MinVersion = tls.VersionTLS12
	return c, nil
}
