package grpc

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/holdfast-run/holdfast/adapters/outbound"
)

// Config says where calls may go, and how. The zero value of each field means its default.
type Config struct {
	// KeyHeader is the name of the metadata that tells servers the idempotency key. ResponseBytes bounds what all messages of an answer have
	// together, as they are sent and as JSON.
	outbound.Config

	// Plaintext lists the hosts that are called without TLS, as Allow lists them; an address counts only where a call names it. Default: none.
	Plaintext []string
	// Reflection has servers asked for the description of a method where the definition has none. Default: such calls fail.
	Reflection bool
	// Connections is how many connections are kept that nobody uses; there are as many more at most as calls are made at once. Default 256.
	Connections int
}

func (c Config) withDefaults() Config {
	c.Config = c.WithDefaults()
	c.Connections = cmp.Or(c.Connections, 256)
	return c
}

// tokenConnections is how many connections there are to one host that gives tokens.
const tokenConnections = 8

// metadataName is what metadata may be called.
var metadataName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// parse reads the settings. An error says everything that is wrong with them.
func (c Config) parse() (*outbound.Exit, outbound.Hosts, error) {
	exit, exitErr := outbound.New(c.Config, tokenConnections)
	plaintext, plaintextErr := outbound.ParseHosts("plaintext", c.Plaintext)
	var keyErr error
	if name := strings.ToLower(c.Key()); name != "" &&
		(!metadataName.MatchString(name) || strings.HasPrefix(name, "grpc-") || strings.HasSuffix(name, "-bin")) {
		keyErr = fmt.Errorf("key header %q can't be the name of metadata that is text: letters, digits, _, - and . are expected, without grpc- "+
			"before and -bin behind them", c.KeyHeader)
	}
	if err := errors.Join(exitErr, plaintextErr, keyErr, outbound.InRange("connections", c.Connections)); err != nil {
		return nil, nil, err
	}
	return exit, plaintext, nil
}
