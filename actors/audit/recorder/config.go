package recorder

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/holdfast-run/holdfast/actors/audit"
	"github.com/holdfast-run/holdfast/persistence"
)

// Config says how a node keeps its audit. Zero fields get their defaults.
type Config struct {
	// Chain is the name of the node, which it keeps when it starts again; required.
	Chain string
	// Incarnation tells the lives of the node apart; Version is what it runs.
	Incarnation, Version string
	// Key signs the heads of the chain. Default: they are not signed, and whoever can write to the store can make a chain anew.
	Key ed25519.PrivateKey
	// Sign is how often the head is signed and logged, if there is something new; at most audit.MaxUnsigned. Default 1 min. What was
	// added since can be removed without anybody being able to tell.
	Sign time.Duration
	// Keep is for how long entries are kept at the least. Default: for good.
	Keep time.Duration
	// Refusals is how many refusals are told apart in a minute of callers whose name is known, and as many of those whose name is not; all
	// others are counted together. Default 50.
	Refusals int
}

func (c Config) withDefaults() Config {
	c.Sign = cmp.Or(c.Sign, time.Minute)
	c.Refusals = cmp.Or(c.Refusals, 50)
	return c
}

// Validate tells all mistakes.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	if c.Sign < time.Second || c.Sign > audit.MaxUnsigned {
		errs = append(errs, fmt.Errorf("the Sign is %v, and must be from 1s to %v", c.Sign, audit.MaxUnsigned))
	}
	if c.Keep != 0 && c.Keep < time.Hour {
		errs = append(errs, fmt.Errorf("the Keep is %v, and must be at least 1h, or 0", c.Keep))
	}
	if c.Refusals < 1 {
		errs = append(errs, fmt.Errorf("the Refusals are %d, and must be at least 1", c.Refusals))
	}
	return errors.Join(errs...)
}

// Deps are what a recorder works with.
type Deps struct {
	Journal persistence.Audit
	// Now is the clock by which entries are dated.
	Now func() time.Time
	Log *slog.Logger
}
