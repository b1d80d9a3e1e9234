package remoting

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/holdfast-run/holdfast/supervision"
)

// The levels of the protocol between nodes that this version speaks. A version speaks at least those of the one before it, so that
// nodes can be replaced one after the other. What is new is said only to those whose highest level has it.
const (
	LowestProtocol  = 1
	HighestProtocol = 1
)

// Config says who a node is among others, and bounds what it holds for them. Zero fields get their defaults.
type Config struct {
	// Self is this node, as others reach it.
	Self Node
	// Cluster is the name that all nodes of the cluster have; a node with another one is refused. At most 128 bytes.
	Cluster string
	// Version is that of the product, for people.
	Version string
	// JournalLevel is the highest feature level of the journal that this node reads. Peers are told it.
	JournalLevel uint32
	// LowestProtocol and HighestProtocol are the levels of the protocol that are spoken. Defaults: the constants of these names.
	LowestProtocol, HighestProtocol uint32
	// TLS is how nodes prove to each other who they are. Needed, unless Plaintext is set.
	TLS *TLS
	// Plaintext has nodes believe each other without proof. It works on loopback addresses only.
	Plaintext bool
	// MaxLetter is the longest message, in bytes; a longer one is refused before it is sent. It is to be the same at all nodes.
	// Default 8 MiB: an order with its input and output, four times over.
	MaxLetter int
	// QueueLetters and QueueBytes are how much may wait to be sent to one peer; further messages are refused. Defaults 8192, 32 MiB.
	QueueLetters int
	QueueBytes   int64
	// FrameBytes is how many bytes of messages go into one frame; one message alone may be longer. Default 256 KiB.
	FrameBytes int
	// MaxPeers is the most nodes that may be connected to this one; further ones are refused. Default 64.
	MaxPeers int
	// ConnectWithin is how long an attempt to connect may take. Default 3 s.
	ConnectWithin time.Duration
	// Again is the delays between attempts. Default: 100 ms at first, then up to 1 s.
	Again supervision.Backoff
	// RefusedPause is the delay instead after a peer has refused this node, or was refused, for what they are. Default 30 s.
	RefusedPause time.Duration
	// Silence is after how long without a sign of life a peer that is connected to this node is asked for one; after as long again,
	// it counts as gone. Seconds, at least 1 s. Default 3 s.
	Silence time.Duration
	// FlushWithin is how long Stop waits for what is to be sent. Default 1 s.
	FlushWithin time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// WithDefaults returns the settings with defaults in place of zeros.
func (c Config) WithDefaults() Config {
	c.LowestProtocol = cmp.Or(c.LowestProtocol, LowestProtocol)
	c.HighestProtocol = cmp.Or(c.HighestProtocol, HighestProtocol)
	c.MaxLetter = cmp.Or(c.MaxLetter, 8<<20)
	c.QueueLetters = cmp.Or(c.QueueLetters, 8192)
	c.QueueBytes = cmp.Or(c.QueueBytes, 32<<20)
	c.FrameBytes = cmp.Or(c.FrameBytes, 256<<10)
	c.MaxPeers = cmp.Or(c.MaxPeers, 64)
	c.ConnectWithin = cmp.Or(c.ConnectWithin, 3*time.Second)
	c.Again = cmp.Or(c.Again, supervision.Backoff{Initial: 100 * time.Millisecond, Max: time.Second, Jitter: 0.2})
	c.RefusedPause = cmp.Or(c.RefusedPause, 30*time.Second)
	c.Silence = cmp.Or(c.Silence, 3*time.Second)
	c.FlushWithin = cmp.Or(c.FlushWithin, time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

const (
	// maxCluster bounds the name of a cluster, and a version, in bytes.
	maxCluster = 128
	// mostLetter is the longest message that can be allowed, in bytes: the queue holds it beside others.
	mostLetter = 256 << 20
)

// Validate says everything that is wrong with the settings.
func (c Config) Validate() error {
	var errs []error
	for _, s := range []struct {
		name       string
		value, max int64
	}{
		{"MaxLetter", int64(c.MaxLetter), mostLetter},
		{"QueueLetters", int64(c.QueueLetters), 1 << 20},
		{"QueueBytes", c.QueueBytes, 1 << 40},
		{"FrameBytes", int64(c.FrameBytes), mostLetter},
		{"MaxPeers", int64(c.MaxPeers), 10_000},
		{"ConnectWithin", int64(c.ConnectWithin), int64(time.Hour)},
		{"RefusedPause", int64(c.RefusedPause), int64(24 * time.Hour)},
		{"FlushWithin", int64(c.FlushWithin), int64(time.Hour)},
	} {
		if s.value < 1 || s.value > s.max {
			errs = append(errs, fmt.Errorf("setting %s is %d, and must be from 1 to %d", s.name, s.value, s.max))
		}
	}
	if c.Silence < time.Second || c.Silence > time.Hour {
		errs = append(errs, fmt.Errorf("setting Silence is %v, and must be from 1 s to 1 h", c.Silence))
	}
	if least := int64(c.MaxLetter) + maxTag; c.QueueBytes < least {
		errs = append(errs, fmt.Errorf("setting QueueBytes is %d, and must be at least %d: room for the longest message", c.QueueBytes, least))
	}
	if c.LowestProtocol < 1 || c.HighestProtocol < c.LowestProtocol {
		errs = append(errs, fmt.Errorf("protocol levels are from %d to %d", c.LowestProtocol, c.HighestProtocol))
	}
	if c.Cluster == "" || len(c.Cluster) > maxCluster {
		errs = append(errs, fmt.Errorf("name of the cluster has %d bytes, and must have 1 to %d", len(c.Cluster), maxCluster))
	}
	if len(c.Version) > maxCluster {
		errs = append(errs, fmt.Errorf("version has %d bytes, and may have %d", len(c.Version), maxCluster))
	}
	if err := c.Self.validate(); err != nil {
		errs = append(errs, fmt.Errorf("this node: %w", err))
	}
	if err := c.Again.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("setting Again: %w", err))
	}
	switch {
	case c.Plaintext && c.TLS != nil:
		errs = append(errs, errors.New("settings TLS and Plaintext exclude each other"))
	case c.Plaintext && !loopback(c.Self.Address):
		errs = append(errs, fmt.Errorf("setting Plaintext is for loopback addresses only, and this node is at %s", c.Self.Address))
	case !c.Plaintext && c.TLS == nil:
		errs = append(errs, errors.New("setting TLS is missing: without proof nodes believe each other only where Plaintext is set"))
	}
	return errors.Join(errs...)
}

// overhead is how much longer a frame may be than what is in it, in bytes: names, and a tag and length for each message.
const overhead = 64 << 10

// maxFrame is the longest frame, in bytes.
func (c Config) maxFrame() int { return max(c.MaxLetter, c.FrameBytes) + overhead }

// Deps are the parts that remoting works with. All are needed.
type Deps struct {
	// Witness answers peers that ask whether this node has evidence of renewal.
	Witness Witness
	Metrics *Metrics
	Log     *slog.Logger
}
