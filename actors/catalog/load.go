package catalog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// ErrNotLoaded: the definition is deployed, and has to be read and compiled first. Await and Look see to that.
var ErrNotLoaded = errors.New("definition is not loaded")

// notLoadedError is an ErrNotLoaded, and tells which.
type notLoadedError struct{ *deployed }

func (e *notLoadedError) Error() string { return ErrNotLoaded.Error() + ": " + e.ref.String() }

func (e *notLoadedError) Is(target error) bool { return target == ErrNotLoaded }

// mostLoads is how many definitions are read and compiled at once, and documents checked: what is compiled takes some ten times the memory
// meanwhile that it takes later.
const mostLoads = 2

// loadWithin is how long reading one definition may take.
const loadWithin = 4 * time.Second

// Documents are where the documents of definitions are read.
type Documents interface {
	// Definition returns one definition, or ErrNotFound.
	Definition(ctx context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error)
}

// loads are the definitions that are being read and compiled, or wait for it: each once, however many wait for it.
type loads struct {
	mu      sync.Mutex
	waiting map[*deployed][]func(*workflow.Definition, error)
	ended   bool
	working sync.WaitGroup
}

// load reads and compiles a definition, unless it is loaded by now. done is called once, and must not block: with what it is, or why
// it can't be had now. The definition stays loaded as long as done runs.
func (c *Catalog) load(e *deployed, done func(*workflow.Definition, error)) {
	l := &c.loads
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		done(nil, ErrEnded)
		return
	}
	first := l.waiting[e] == nil
	l.waiting[e] = append(l.waiting[e], done)
	if first {
		l.working.Go(func() { c.loadNow(e) })
	}
	l.mu.Unlock()
}

// loadNow loads a definition, and tells all who wait for it.
func (c *Catalog) loadNow(e *deployed) {
	l := &c.loads
	def, err := c.readAndCompile(e)
	l.mu.Lock()
	waiting := l.waiting[e]
	delete(l.waiting, e)
	l.mu.Unlock()
	for _, done := range waiting {
		done(def, err)
	}
	runtime.KeepAlive(def)
}

func (c *Catalog) readAndCompile(e *deployed) (*workflow.Definition, error) {
	if def, err := e.compiled(); !errors.Is(err, ErrNotLoaded) {
		return def, err
	}
	over, err := c.config.Turn(c.ctx, e.ref.Namespace, e.alive.Load() != nil)
	if err != nil {
		return nil, ErrEnded
	}
	defer over()
	end, err := c.compiling(c.ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	ctx, cancel := context.WithTimeout(c.ctx, loadWithin)
	defer cancel()
	row, err := c.document(ctx, e.ref)
	if err != nil {
		return nil, err
	}
	def, mistakes := definition.Load(row.GetDocument(), c.config.Definition)
	if len(mistakes) > 0 {
		return nil, e.uncompilable(mistakes[0])
	}
	c.cache.add(e, def, definition.Footprint(def, len(row.GetDocument())))
	return def, nil
}

// document reads a definition from the journal.
func (c *Catalog) document(ctx context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	row, err := c.documents.Definition(ctx, ref)
	switch {
	case errors.Is(err, persistence.ErrNotFound):
		return nil, fmt.Errorf("%w: %s", ErrUnknown, ref)
	case c.ctx.Err() != nil:
		return nil, ErrEnded
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%w: %w", persistence.ErrUnavailable, err)
	}
	return row, err
}

// compiling waits until a document may be compiled. end is to be called when that is done.
func (c *Catalog) compiling(ctx context.Context) (end func(), err error) {
	select {
	case c.compilers <- struct{}{}:
		return func() { <-c.compilers }, nil
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
	if c.ctx.Err() != nil { // whatever else has ended with it
		return nil, ErrEnded
	}
	return nil, fmt.Errorf("wait for other definitions to be compiled: %w", context.Cause(ctx))
}

// endLoads refuses what waits to be loaded, and returns when nothing is loaded any more.
func (c *Catalog) endLoads() {
	c.stop()
	l := &c.loads
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.working.Wait()
}

// Await has gotten what another call missed, by its error: has the definition loaded, or the catalogue read again. done is called once,
// with nil when the call can be repeated; else with why the journal can't be read, or ErrEnded. It must not block. That a definition
// can't be compiled the repeated call tells.
func (c *Catalog) Await(missed error, done func(error)) {
	e, ok := errors.AsType[*notLoadedError](missed)
	if !ok {
		c.Missed(done)
		return
	}
	c.load(e.deployed, func(_ *workflow.Definition, err error) {
		if errors.Is(err, ErrUncompilable) {
			err = nil
		}
		done(err)
	})
}

// loaded waits until a definition is loaded. Whoever keeps it can find it again.
func (c *Catalog) loaded(ctx context.Context, e *deployed) (*workflow.Definition, error) {
	if def, err := e.compiled(); !errors.Is(err, ErrNotLoaded) {
		return def, err
	}
	type answer struct {
		def *workflow.Definition
		err error
	}
	answers := make(chan answer, 1)
	c.load(e, func(def *workflow.Definition, err error) { answers <- answer{def, err} }) //nolint:contextcheck // for all who want it
	select {
	case a := <-answers:
		return a.def, a.err
	case <-ctx.Done():
		return nil, late(ctx)
	}
}

// late is why somebody waits no more: the journal counts as unavailable if it has not answered in time.
func late(ctx context.Context) error {
	err := context.Cause(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", persistence.ErrUnavailable, err)
	}
	return err
}

// Look finds something in a catalogue. If a definition has to be loaded for it, it waits for that. If it misses a definition, or that is
// retired, it has the catalogue read again and looks again, as another node may have deployed or reinstated it. So an ErrUnknown or
// ErrRetired is certain; that the journal can't be read now is another error.
func Look[T any](ctx context.Context, c *Catalog, find func() (T, error)) (T, error) {
	var def *workflow.Definition // it can't leave memory before it is found
	reread := false
	for {
		found, err := find()
		missing, isMissing := errors.AsType[*notLoadedError](err)
		switch {
		case isMissing:
			if def, err = c.loaded(ctx, missing.deployed); err != nil {
				return found, err
			}
		case !IsMissed(err) || reread:
			runtime.KeepAlive(def)
			return found, err
		default:
			if err := c.Reread(ctx); err != nil {
				return found, err
			}
			reread = true
		}
	}
}
