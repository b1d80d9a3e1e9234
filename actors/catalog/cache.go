package catalog

import (
	"fmt"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// deployed is what is kept in memory of a definition: some kilobytes at the most, as long as it is not compiled.
type deployed struct {
	ref messages.DefinitionRef
	// row is as it is stored, but clipped. It changes only in whether the definition is retired or removed.
	row atomic.Pointer[journalv1.DefinitionRow]
	// bytes is how long the document is.
	bytes int64

	// cached is the definition as long as the cache has it. alive is the one that was compiled last: it may be used still by orders in
	// memory when the cache has it no more.
	cached atomic.Pointer[workflow.Definition]
	alive  atomic.Pointer[weak.Pointer[workflow.Definition]]
	// used tells that it was asked for since the hand of the cache has passed it.
	used atomic.Bool
	// wrong is why it can't be compiled; nil if that is not known.
	wrong atomic.Pointer[error]
}

// compiled returns the definition if it is in memory, or why it can't be compiled; else a *notLoadedError.
func (e *deployed) compiled() (*workflow.Definition, error) {
	if def := e.cached.Load(); def != nil {
		if !e.used.Load() {
			e.used.Store(true)
		}
		return def, nil
	}
	if alive := e.alive.Load(); alive != nil {
		if def := alive.Value(); def != nil {
			return def, nil
		}
	}
	if wrong := e.wrong.Load(); wrong != nil {
		return nil, *wrong
	}
	return nil, &notLoadedError{e}
}

// uncompilable notes that it can't be compiled.
func (e *deployed) uncompilable(mistake *definitionv1.Mistake) error {
	text := messages.Clip(mistake.GetMessage(), clipped)
	err := fmt.Errorf("%w: %s, line %d: %s", ErrUncompilable, e.ref, mistake.GetLine(), text)
	e.wrong.Store(&err)
	return err
}

// cache keeps compiled definitions, up to a number of bytes and one more: the last one is kept in any case. When there is no room for
// another one, a hand goes round, and takes out the first that was not asked for since it passed the last time.
type cache struct {
	most int64

	mu    sync.Mutex
	bytes int64
	ring  []*kept
	hand  int
}

type kept struct {
	*deployed

	size int64
}

// add keeps a definition that was compiled.
func (c *cache) add(e *deployed, def *workflow.Definition, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	alive := weak.Make(def)
	e.alive.Store(&alive)
	for len(c.ring) > 0 && c.bytes+size > c.most {
		c.hand %= len(c.ring)
		one := c.ring[c.hand]
		if one.used.Swap(false) {
			c.hand++
			continue
		}
		one.cached.Store(nil)
		c.bytes -= one.size
		last := len(c.ring) - 1
		c.ring[c.hand], c.ring[last] = c.ring[last], nil
		c.ring = c.ring[:last]
	}
	c.ring = append(c.ring, &kept{e, size})
	c.bytes += size
	e.used.Store(false)
	e.cached.Store(def)
}
