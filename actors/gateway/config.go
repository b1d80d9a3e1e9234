package gateway

import (
	"time"
)

// Config bounds what comes in. Zero fields get their defaults.
type Config struct {
	// MaxInput is the longest input of an order, in bytes. Default 1 MiB.
	MaxInput int
	// MaxOutput is the longest output of an activity, in bytes. Default 1 MiB.
	MaxOutput int
	// MaxDepth is the deepest nesting of an input or output. Default 64.
	MaxDepth int
	// MaxLabels is the most labels of an order. Default 16.
	MaxLabels int
	// MaxKey is the longest order key, in bytes. Default 256.
	MaxKey int
	// StreamWindow is the most orders of one stream that have not had their last answer; the stream is not read further
	// until some have. Default 16,384.
	StreamWindow int
	// Accepting is the most orders that wait to become durable at once; further ones are answered RESOURCE_EXHAUSTED.
	// Default 32,768.
	Accepting int
	// Connections is the most connections to the public address; further ones are closed at once. Default 10,000. Whoever
	// listens sees to it that they leave file descriptors for the journal and the administration.
	Connections int
	// Heartbeat is how often an adapter shows that it lives; after three it is taken for dead. Default 5 s.
	Heartbeat time.Duration
	// Version is what the node says of itself to operators.
	Version string
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	def := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	def(&c.MaxInput, 1<<20)
	def(&c.MaxOutput, 1<<20)
	def(&c.MaxDepth, 64)
	def(&c.MaxLabels, 16)
	def(&c.MaxKey, 256)
	def(&c.StreamWindow, 16_384)
	def(&c.Accepting, 32_768)
	def(&c.Connections, 10_000)
	if c.Heartbeat == 0 {
		c.Heartbeat = 5 * time.Second
	}
	return c
}
