package catalog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

var (
	// ErrUnknown: there is no such definition.
	ErrUnknown = errors.New("definition is not deployed")
	// ErrUncompilable: the definition was deployed, by another version, and this one can't compile it.
	ErrUncompilable = errors.New("definition was deployed by a version that took it, and this one can't compile it")
	// ErrTaken: another document is deployed under the name and version.
	ErrTaken = errors.New("another definition is deployed under this name and version")
	// ErrRetired: the definition takes no new orders any more.
	ErrRetired = errors.New("definition is retired, and takes no new orders")
)

// Catalog has the definitions and limits that the journal has, as far as this node knows.
type Catalog struct {
	store   persistence.Catalog // nil: nothing can be changed
	compile definition.Limits

	// changing is held while something is stored or read again, so that memory has what was stored last.
	changing sync.Mutex
	isRead   bool
	version  uint64   // the one in the journal that was read last
	limits   sync.Map // *journalv1.LimitRow, by activity
	level    atomic.Uint32

	missing sync.Mutex
	waiting []func(error) // those who have missed a definition, and wait for the next look
	ended   bool
	missed  chan struct{} // of capacity 1: somebody waits

	mu     sync.RWMutex
	byRef  map[messages.DefinitionRef]*deployed
	latest map[messages.DefinitionRef]messages.DefinitionRef // by namespace and name
}

type deployed struct {
	// row changes only in whether the definition is retired.
	row  atomic.Pointer[journalv1.DefinitionRow]
	once sync.Once
	def  *workflow.Definition
	err  error
}

// New makes a catalogue that knows nothing yet.
func New(limits definition.Limits) *Catalog {
	return &Catalog{
		compile: limits, missed: make(chan struct{}, 1),
		byRef: map[messages.DefinitionRef]*deployed{}, latest: map[messages.DefinitionRef]messages.DefinitionRef{},
	}
}

// Load reads the catalogue of a journal. From then on Follow is to run.
func Load(ctx context.Context, store persistence.Catalog, limits definition.Limits) (*Catalog, error) {
	c := New(limits)
	c.store = store
	if _, err := c.read(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Add makes a definition known. If it is known already, it takes over whether it is retired.
func (c *Catalog) Add(row *journalv1.DefinitionRow) {
	ref := messages.RefOf(row)
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.byRef[ref]
	switch {
	case known == nil:
		known = &deployed{}
		c.byRef[ref] = known
	case proto.Equal(known.row.Load(), row):
		return
	}
	known.row.Store(row)
	name := messages.DefinitionRef{Namespace: ref.Namespace, Name: ref.Name}
	old, ok := c.latest[name]
	switch {
	case !ok || old != ref && c.before(old, ref):
		c.latest[name] = ref
	case old == ref && row.GetRetirement() != nil: // another version may be the latest now
		for other := range c.byRef {
			if other.Namespace == ref.Namespace && other.Name == ref.Name && c.before(c.latest[name], other) {
				c.latest[name] = other
			}
		}
	}
}

// before tells whether latest means b rather than a: b is a later version, or a is retired and b is not.
func (c *Catalog) before(a, b messages.DefinitionRef) bool {
	retired := func(ref messages.DefinitionRef) bool { return c.byRef[ref].row.Load().GetRetirement() != nil }
	if retired(a) != retired(b) {
		return retired(a)
	}
	return later(b.Version, a.Version)
}

// later tells whether a version comes after another one where the latest is asked for. Any release comes after all pre-releases.
func later(a, b string) bool {
	if release := messages.IsRelease(a); release != messages.IsRelease(b) {
		return release
	}
	return messages.CompareVersions(a, b) > 0
}

// Level returns the highest feature level that records may have which this node writes.
func (c *Catalog) Level() uint32 { return c.level.Load() }

// Find returns a definition, compiled. The version may be latest: that is never a retired one, unless all are.
func (c *Catalog) Find(ref messages.DefinitionRef) (*workflow.Definition, error) {
	e, err := c.entry(ref)
	if err != nil {
		return nil, err
	}
	return c.compiled(e)
}

func (c *Catalog) entry(ref messages.DefinitionRef) (*deployed, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if ref.Version == messages.Latest {
		if latest, ok := c.latest[messages.DefinitionRef{Namespace: ref.Namespace, Name: ref.Name}]; ok {
			ref = latest
		}
	}
	if e := c.byRef[ref]; e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknown, ref)
}

// Calls tells whether any definition calls an activity, whatever the version of the activity.
func (c *Catalog) Calls(activity string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, e := range c.byRef {
		for _, called := range e.row.Load().GetActivities() {
			if name, _ := messages.SplitActivity(called); name == activity {
				return true
			}
		}
	}
	return false
}

func (c *Catalog) compiled(e *deployed) (*workflow.Definition, error) {
	e.once.Do(func() {
		def, mistakes := definition.Load(e.row.Load().GetDocument(), c.compile)
		if len(mistakes) > 0 {
			e.err = fmt.Errorf("%w: %s, line %d: %s", ErrUncompilable, messages.RefOf(e.row.Load()), mistakes[0].GetLine(), mistakes[0].GetMessage())
			return
		}
		e.def = def
	})
	return e.def, e.err
}

// Pinned returns the definition that an order was accepted with.
func (c *Catalog) Pinned(name string, hash []byte) (*workflow.Definition, error) {
	ref, err := messages.ParseDefinitionRef(name)
	if err != nil {
		return nil, err
	}
	def, err := c.Find(ref)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(def.Hash, hash) {
		return nil, fmt.Errorf("definition %s is not the one that the order was accepted with", ref)
	}
	return def, nil
}

// Definition returns the definition of a new order; its version may be latest. With ErrRetired the definition is returned, too: the
// order may be one that was accepted before.
func (c *Catalog) Definition(ref messages.DefinitionRef) (*workflow.Definition, error) {
	x, err := c.entry(ref)
	if err != nil {
		return nil, err
	}
	def, err := c.compiled(x)
	if err != nil {
		return nil, err
	}
	return def, checkRetired(ref, x.row.Load())
}

// Check checks a document, and says what it contains; x is nil if anything is wrong with it that is more than a warning.
func (c *Catalog) Check(document []byte) (x *Examined, mistakes, warnings []*definitionv1.Mistake) {
	def, found := definition.Check(document, c.compile)
	for _, m := range found {
		if m.GetSeverity() == definitionv1.Severity_SEVERITY_WARNING {
			warnings = append(warnings, m)
		} else {
			mistakes = append(mistakes, m)
		}
	}
	if def != nil {
		x = examined(def)
	}
	return x, mistakes, warnings
}

// Deploy stores a definition for good. It fails with ErrTaken if another one has its name and version.
func (c *Catalog) Deploy(ctx context.Context, row *journalv1.DefinitionRow) (*journalv1.DefinitionRow, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	stored, err := c.store.PutDefinition(ctx, row)
	switch {
	case errors.Is(err, persistence.ErrConflict):
		return nil, fmt.Errorf("%w: %s", ErrTaken, messages.RefOf(row))
	case err != nil:
		return nil, fmt.Errorf("deploy %s: %w", messages.RefOf(row), err)
	}
	c.Add(stored)
	return stored, nil
}

// Retire retires a definition, or reinstates it if r is nil. It fails with ErrUnknown if there is none.
func (c *Catalog) Retire(
	ctx context.Context, ref messages.DefinitionRef, r *journalv1.Retirement,
) (*journalv1.DefinitionRow, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	row, err := c.store.RetireDefinition(ctx, ref, r)
	switch {
	case errors.Is(err, persistence.ErrNotFound):
		return nil, fmt.Errorf("%w: %s", ErrUnknown, ref)
	case err != nil:
		return nil, fmt.Errorf("retire %s: %w", ref, err)
	}
	c.Add(row)
	return row, nil
}

// checkRetired returns an ErrRetired if a definition is not for new orders.
func checkRetired(ref messages.DefinitionRef, row *journalv1.DefinitionRow) error {
	r := row.GetRetirement()
	if r == nil {
		return nil
	}
	since := time.Unix(0, r.GetAt()).UTC().Format(time.DateTime) + " UTC"
	if r.GetReason() != "" {
		since += ", because: " + r.GetReason()
	}
	if ref.Version == messages.Latest {
		return fmt.Errorf("%w: all versions of %s/%s are retired, the latest since %s", ErrRetired, ref.Namespace, ref.Name, since)
	}
	return fmt.Errorf("%w: %s is retired since %s", ErrRetired, ref, since)
}

// Row returns a deployed definition as it is stored; its version may be latest.
func (c *Catalog) Row(ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	x, err := c.entry(ref)
	if err != nil {
		return nil, err
	}
	return x.row.Load(), nil
}

// Rows returns the deployed definitions of a namespace (empty: of all) by name and version.
func (c *Catalog) Rows(namespace string) []*journalv1.DefinitionRow {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var rows []*journalv1.DefinitionRow
	for ref, x := range c.byRef {
		if namespace == "" || ref.Namespace == namespace {
			rows = append(rows, x.row.Load())
		}
	}
	slices.SortFunc(rows, func(a, b *journalv1.DefinitionRow) int { return Compare(messages.RefOf(a), messages.RefOf(b)) })
	return rows
}

// Compare tells whether a definition is before another one (negative), behind it (positive) or the same (0): by
// namespace, name and version.
func Compare(a, b messages.DefinitionRef) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name),
		messages.CompareVersions(a.Version, b.Version), strings.Compare(a.Version, b.Version))
}
