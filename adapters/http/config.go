package http

import (
	"cmp"
	"errors"

	"github.com/holdfast-run/holdfast/adapters/outbound"
)

// Config says where requests may go, and how. The zero value of each field means its default.
type Config struct {
	// Requests that can't be repeated have connections of their own, as one that its server has just closed leaves in doubt what is sent on
	// it: Idle is for the others.
	outbound.Config

	// HostConnections is how many connections there are to one host at most. Default 32.
	HostConnections int
}

func (c Config) withDefaults() Config {
	c.Config = c.WithDefaults()
	c.HostConnections = cmp.Or(c.HostConnections, 32)
	return c
}

// newExit makes the way by which requests go out. An error says everything that is wrong with the settings.
func (c Config) newExit() (*outbound.Exit, error) {
	invalid := outbound.InRange("host connections", c.HostConnections)
	exit, err := outbound.New(c.Config, c.HostConnections)
	if err := errors.Join(invalid, err); err != nil {
		return nil, err
	}
	return exit, nil
}
