package graph

import (
	"errors"
	"fmt"
)

// Config says how a graph is made, and bounds what may be in it. A zero field means its default. What a node takes for a
// definition is within the defaults.
type Config struct {
	// Expand shows functions of the document inside of each task that calls them, where an order that runs them stands. Otherwise each is
	// shown once, beside the workflow. Default false.
	Expand bool

	// Document is the size of the largest document, with what it refers to, in bytes. Default 1 MiB.
	Document int
	// Depth is how deep objects and lists may nest in a document. Default 64, at most 1000.
	Depth int
	// Tasks is the most tasks of a graph; with Expand those of each call of a function are counted anew. Default 1000.
	Tasks int
	// Edges is the most edges of a graph. Default 10,000.
	Edges int
}

// maxDepth bounds recursion, whatever the configuration says.
const maxDepth = 1000

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int
	}{{"Document", c.Document}, {"Depth", c.Depth}, {"Tasks", c.Tasks}, {"Edges", c.Edges}} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("%s is negative: give a positive number, or 0 for the default", f.name))
		}
	}
	if c.Depth > maxDepth {
		errs = append(errs, fmt.Errorf("%s can't exceed %d", "Depth", maxDepth))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	c.Document = positive(c.Document, 1<<20)
	c.Depth = min(positive(c.Depth, 64), maxDepth)
	c.Tasks = positive(c.Tasks, 1000)
	c.Edges = positive(c.Edges, 10_000)
	return c
}

func positive(v, otherwise int) int {
	if v > 0 {
		return v
	}
	return otherwise
}
