package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// ErrEnded: the catalogue is not followed any more, because the node stops.
var ErrEnded = errors.New("catalogue is not followed any more")

// After one look at the journal the next one begins missShare times as long after it as it took, however many definitions are missed:
// the looks take a tenth of a connection's time at most. It is leastPause at the least, and mostPause at the most.
const (
	missShare  = 9
	leastPause = time.Millisecond
	mostPause  = 20 * time.Millisecond
)

// Following is how to follow a catalogue. All is needed.
type Following struct {
	// Every is how often to look whether the catalogue was changed, Within how long one look may take.
	Every, Within time.Duration
	// Limited is told of each activity whose limit another node has changed. It must not block.
	Limited func(activity string)
	// Note is told what came of each look. After an error what is known stays as it was, and the next look comes all the same.
	Note func(error)
}

// Follow looks whether another node has changed the catalogue, and reads it again if so, until ctx ends. It looks now and then, and when
// a definition is missed.
func (c *Catalog) Follow(ctx context.Context, f Following) {
	defer c.end()
	tick := time.NewTicker(f.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.missed:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		c.look(ctx, f)
		pause := time.NewTimer(min(max(missShare*time.Since(began), leastPause), mostPause))
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
}

// end tells those who wait for a look that none comes any more.
func (c *Catalog) end() {
	c.missing.Lock()
	waiting := c.waiting
	c.waiting, c.ended = nil, true
	c.missing.Unlock()
	for _, done := range waiting {
		done(ErrEnded)
	}
	c.endLoads()
}

// look looks once, and tells those who had missed a definition before it began.
func (c *Catalog) look(ctx context.Context, f Following) {
	c.missing.Lock()
	waiting := c.waiting
	c.waiting = nil
	c.missing.Unlock()
	bounded, cancel := context.WithTimeout(ctx, f.Within)
	limited, err := c.read(bounded)
	cancel()
	switch {
	case ctx.Err() != nil:
		err = ErrEnded
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("%w: %w", persistence.ErrUnavailable, err)
	}
	for _, activity := range limited {
		f.Limited(activity)
	}
	f.Note(err)
	for _, done := range waiting {
		done(err)
	}
}

// Missed has the journal asked whether the catalogue was changed. done is called once: with nil when what other nodes had deployed
// before the call is known here; else with why the journal can't be read, or ErrEnded. It must not block. All who miss a definition at the
// same time share one look, so that misses are no load for the journal. No more wait than there are calls and orders under way.
func (c *Catalog) Missed(done func(error)) {
	c.missing.Lock()
	ended := c.ended
	if !ended {
		c.waiting = append(c.waiting, done)
	}
	c.missing.Unlock()
	if ended {
		done(ErrEnded)
		return
	}
	select {
	case c.missed <- struct{}{}:
	default:
	}
}

// Reread returns when what other nodes had deployed before the call is known here, or with why the journal can't be read: that it is
// unavailable, too, if it has not answered by the deadline of ctx.
func (c *Catalog) Reread(ctx context.Context) error {
	answer := make(chan error, 1)
	c.Missed(func(err error) { answer <- err })
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("read the catalogue again: %w", late(ctx))
	}
}

// IsMissed tells whether an error may be one because another node has changed the catalogue just now.
func IsMissed(err error) bool { return errors.Is(err, ErrUnknown) || errors.Is(err, ErrRetired) }

// Finder returns what finds the definition that an order was accepted with. If that is not known, the catalogue is read again first,
// for which ctx is waited.
func (c *Catalog) Finder(ctx context.Context) func(name string, hash []byte) (*workflow.Definition, error) {
	return func(name string, hash []byte) (*workflow.Definition, error) {
		return Look(ctx, c, func() (*workflow.Definition, error) { return c.Pinned(name, hash) })
	}
}

// read reads what has changed since it was read last, and returns the activities whose limits have.
func (c *Catalog) read(ctx context.Context) (limited []string, err error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	version, err := c.store.CatalogVersion(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for changes of the catalogue: %w", err)
	}
	if c.isRead && version == c.version {
		return nil, nil
	}
	level, err := c.store.FeatureLevel(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the feature level: %w", err)
	}
	limits := map[string]*journalv1.LimitRow{}
	for row, err := range c.store.AllLimits(ctx) {
		if err != nil {
			return nil, fmt.Errorf("read limits: %w", err)
		}
		limits[row.GetActivity()] = row
	}
	c.level.Store(min(level, persistence.NewestLevel))
	limited = c.setLimits(limits)
	if err := c.readDefinitions(ctx); err != nil {
		return limited, err
	}
	c.isRead, c.version = true, version
	return limited, nil
}

// readDefinitions reads the definitions that have changed, one after the other. What it has read before an error it does not read
// again; changing is held.
func (c *Catalog) readDefinitions(ctx context.Context) error {
	marks, err := c.store.DefinitionMarks(ctx)
	if err != nil {
		return fmt.Errorf("look for changes of definitions: %w", err)
	}
	for ref, mark := range marks {
		if c.marks[ref] == mark {
			continue
		}
		row, err := c.store.Definition(ctx, ref)
		if err != nil {
			return fmt.Errorf("read what has changed: %w", err)
		}
		c.Add(row)
		c.marks[ref] = mark
	}
	return nil
}
