package catalog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
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
	// ErrNotRetired: the definition has to be retired before it can be removed.
	ErrNotRetired = errors.New("definition is not retired")
	// ErrTooMany: there are as many definitions as there may be.
	ErrTooMany = errors.New("too many definitions")
)

// Config bounds what definitions may take. Zero fields get their defaults.
type Config struct {
	// Definition bounds single ones.
	Definition definition.Limits
	// Terms bound what definitions say of their orders.
	Terms workflow.TermLimits
	// Bytes is the memory for compiled definitions, about; when one more has no room, those that were not asked for lately leave it, and
	// are read and compiled again when they are. The last one stays in any case; orders in memory keep theirs. Default 64 MiB.
	Bytes int64
	// Most is how many definitions there may be beside those that are removed, and a tenth of how many with these; further ones can't
	// be deployed. Together they may have as many bytes as if each had 256 KiB. Each takes up to 6 KiB of memory. Default 10,000.
	Most int
	// Turn returns when a definition of a namespace may be loaded, as far as others are concerned, and end is called on the same goroutine
	// when it is. again: it was loaded before, and has left memory since. Default: at once.
	Turn func(ctx context.Context, namespace string, again bool) (end func(), err error)
}

const (
	shareBytes   = 256 << 10 // for how many bytes of documents each definition counts that there may be
	removedShare = 10
)

// WithDefaults returns the settings with defaults in place of zeros.
func (c Config) WithDefaults() Config {
	c.Bytes = cmp.Or(c.Bytes, 64<<20)
	c.Most = cmp.Or(c.Most, 10_000)
	if c.Turn == nil {
		c.Turn = func(context.Context, string, bool) (func(), error) { return func() {}, nil }
	}
	return c
}

// Catalog has the definitions and limits that the journal has, as far as this node knows.
type Catalog struct {
	store     persistence.Catalog // nil: nothing can be changed
	documents Documents
	config    Config

	ctx  context.Context //nolint:containedctx // of all loading
	stop func()

	// changing is held while something is stored or read again, so that memory has what was stored last.
	changing sync.Mutex
	isRead   bool
	version  uint64 // the one in the journal that was read last
	marks    map[messages.DefinitionRef]persistence.DefinitionMark
	limits   sync.Map // *journalv1.LimitRow, by activity
	level    atomic.Uint32

	missing sync.Mutex
	waiting []func(error) // those who have missed a definition, and wait for the next look
	ended   bool
	missed  chan struct{} // of capacity 1: somebody waits

	cache     cache
	loads     loads
	compilers chan struct{} // of capacity mostLoads: documents that are being compiled

	mu     sync.RWMutex
	byRef  map[messages.DefinitionRef]*deployed
	latest map[messages.DefinitionRef]messages.DefinitionRef // by namespace and name
	count  int                                               // of those that are not removed
	bytes  int64                                             // of their documents
	// routes are those of the definitions of a namespace, by the types of the events; they are made when they are asked for.
	routes map[string]map[string][]*journalv1.Route
	// namespaces are those that have had definitions.
	namespaces map[string]struct{}
	// scheduled are the namespaces and names of which some version has a schedule.
	scheduled map[messages.DefinitionRef]struct{}
}

// New makes a catalogue that knows nothing yet, and reads documents from somewhere.
func New(documents Documents, c Config) *Catalog {
	c = c.WithDefaults()
	ctx, stop := context.WithCancel(context.Background())
	return &Catalog{
		documents: documents, config: c, ctx: ctx, stop: stop, missed: make(chan struct{}, 1),
		marks: map[messages.DefinitionRef]persistence.DefinitionMark{}, cache: cache{most: c.Bytes},
		loads: loads{waiting: map[*deployed][]func(*workflow.Definition, error){}}, compilers: make(chan struct{}, mostLoads),
		byRef: map[messages.DefinitionRef]*deployed{}, latest: map[messages.DefinitionRef]messages.DefinitionRef{},
		routes: map[string]map[string][]*journalv1.Route{}, namespaces: map[string]struct{}{},
		scheduled: map[messages.DefinitionRef]struct{}{},
	}
}

// Load reads the catalogue of a journal. From then on Follow is to run.
func Load(ctx context.Context, store persistence.Catalog, config Config) (*Catalog, error) {
	c := New(store, config)
	c.store = store
	if _, err := c.read(ctx); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// Add makes a definition known. If it is known already, it takes over whether it is retired.
func (c *Catalog) Add(row *journalv1.DefinitionRow) {
	ref := messages.RefOf(row)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.routes, ref.Namespace)
	c.namespaces[ref.Namespace] = struct{}{}
	known := c.byRef[ref]
	if known == nil {
		known = &deployed{ref: ref, bytes: int64(len(row.GetDocument()))}
		c.byRef[ref] = known
	} else if was := known.row.Load(); proto.Equal(was.GetRetirement(), row.GetRetirement()) {
		return
	} else if !isRemoved(was) {
		c.count--
		c.bytes -= known.bytes
	}
	known.row.Store(clip(row))
	if !isRemoved(row) {
		c.count++
		c.bytes += known.bytes
	}
	name := messages.DefinitionRef{Namespace: ref.Namespace, Name: ref.Name}
	if row.GetScheduled() {
		c.scheduled[name] = struct{}{}
	}
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

func isRemoved(row *journalv1.DefinitionRow) bool { return row.GetRetirement().GetRemovedAt() != 0 }

// clipped is how much of a title is kept in memory, in bytes, and of what is wrong with a definition; clippedActivities is of activities
// how much is kept: of a definition that calls more, none is known here.
const (
	clipped           = 1 << 10
	clippedActivities = 4 << 10
)

// clip returns what is kept in memory of a definition as it is stored.
func clip(row *journalv1.DefinitionRow) *journalv1.DefinitionRow {
	kept := &journalv1.DefinitionRow{
		Namespace: strings.Clone(row.GetNamespace()), Name: strings.Clone(row.GetName()), Version: strings.Clone(row.GetVersion()),
		Hash: bytes.Clone(row.GetHash()), DeployedAt: row.GetDeployedAt(), Title: messages.Clip(row.GetTitle(), clipped),
		Retirement: proto.CloneOf(row.GetRetirement()), Scheduled: row.GetScheduled(),
	}
	for _, r := range row.GetRoutes() {
		kept.Routes = append(kept.Routes, proto.CloneOf(r))
	}
	size := 0
	for _, a := range row.GetActivities() {
		size += len(a)
	}
	if size <= clippedActivities {
		kept.Activities = slices.Clone(row.GetActivities())
	}
	return kept
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

// Calls tells whether any definition calls an activity, whatever the version of the activity, or calls too many to tell.
func (c *Catalog) Calls(activity string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, e := range c.byRef {
		row := e.row.Load()
		if isRemoved(row) {
			continue
		}
		for _, called := range row.GetActivities() {
			if name, _ := messages.SplitActivity(called); name == activity {
				return true
			}
		}
	}
	return false
}

// Pinned returns the definition that an order was accepted with. If that is not in memory, it fails with ErrNotLoaded.
func (c *Catalog) Pinned(name string, hash []byte) (*workflow.Definition, error) {
	ref, err := messages.ParseDefinitionRef(name)
	if err != nil {
		return nil, err
	}
	e, err := c.entry(ref)
	if err != nil {
		return nil, err
	}
	def, err := e.compiled()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(def.Hash, hash) {
		return nil, fmt.Errorf("definition %s is not the one that the order was accepted with", ref)
	}
	return def, nil
}

// PinnedNow does as Pinned does, but waits for the definition to be loaded.
func (c *Catalog) PinnedNow(ctx context.Context, name string, hash []byte) (*workflow.Definition, error) {
	def, err := c.Pinned(name, hash)
	missing, ok := errors.AsType[*notLoadedError](err)
	if !ok {
		return def, err
	}
	kept, err := c.loaded(ctx, missing.deployed)
	if err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(kept)
	return c.Pinned(name, hash)
}

// Definition returns the definition of a new order; its version may be latest. With ErrRetired the definition is returned, too: the
// order may be one that was accepted before. If it is not in memory, Definition fails with ErrNotLoaded.
func (c *Catalog) Definition(ref messages.DefinitionRef) (*workflow.Definition, error) {
	x, err := c.entry(ref)
	if err != nil {
		return nil, err
	}
	def, err := x.compiled()
	if err != nil {
		return nil, err
	}
	return def, checkRetired(ref, x.row.Load())
}

// Usable returns an error if a definition is not deployed, is retired, or is known not to be compilable.
func (c *Catalog) Usable(ref messages.DefinitionRef) error {
	x, err := c.entry(ref)
	if err != nil {
		return err
	}
	if wrong := x.wrong.Load(); wrong != nil {
		return *wrong
	}
	return checkRetired(ref, x.row.Load())
}

// Check checks a document, and says what it contains; x is nil if anything is wrong with it that is more than a warning. It waits for
// others to be checked, and fails if that takes too long.
func (c *Catalog) Check(
	ctx context.Context, document []byte,
) (x *Examined, mistakes, warnings []*definitionv1.Mistake, err error) {
	end, err := c.compiling(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	defer end()
	def, found := definition.Check(document, c.config.Definition)
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
	return x, mistakes, warnings, nil
}

// Deploy stores a definition for good. It fails with ErrTaken if another one has its name and version, with ErrTooMany if there are as
// many as there may be.
func (c *Catalog) Deploy(ctx context.Context, row *journalv1.DefinitionRow) (*journalv1.DefinitionRow, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	if err := c.checkRoom(messages.RefOf(row), int64(len(row.GetDocument()))); err != nil {
		return nil, err
	}
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

// Retire retires a definition, or reinstates it if r is nil. It fails with ErrUnknown if there is none. To reinstate one that
// is removed takes it back; it fails with ErrTooMany if there are as many as there may be.
func (c *Catalog) Retire(
	ctx context.Context, ref messages.DefinitionRef, r *journalv1.Retirement,
) (*journalv1.DefinitionRow, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	if e, err := c.entry(ref); err == nil && r == nil { // else the journal tells that there is none
		if err := c.checkRoom(ref, e.bytes); err != nil {
			return nil, err
		}
	}
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

// checkRoom returns an ErrTooMany if there may not be one more definition.
func (c *Catalog) checkRoom(ref messages.DefinitionRef, size int64) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	known := c.byRef[ref]
	most, bytes := c.config.Most, int64(c.config.Most)*shareBytes
	switch {
	case known != nil && !isRemoved(known.row.Load()):
		return nil
	case c.count >= most:
		return fmt.Errorf("%w: there are %d, as many as this node allows; retire and remove some%s", ErrTooMany, most, c.example())
	case c.bytes+size > bytes:
		return fmt.Errorf("%w: this one would have them be larger than %d bytes together; retire and remove some%s",
			ErrTooMany, bytes, c.example())
	case known == nil && len(c.byRef) >= removedShare*most:
		return fmt.Errorf("%w: with those that were removed there are %d, as many as this node allows", ErrTooMany, len(c.byRef))
	}
	return nil
}

// example names a definition that is retired, so that it may be removed; mu is held.
func (c *Catalog) example() string {
	for ref, e := range c.byRef {
		if row := e.row.Load(); row.GetRetirement() != nil && !isRemoved(row) {
			return ", such as " + ref.String() + ", which is retired"
		}
	}
	return ""
}

// Remove takes a retired definition from what is deployed. It fails with ErrUnknown if there is none, with ErrNotRetired if it is not
// retired.
func (c *Catalog) Remove(ctx context.Context, ref messages.DefinitionRef, at time.Time) (*journalv1.DefinitionRow, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	row, err := c.store.RemoveDefinition(ctx, ref, at.UnixNano())
	switch {
	case errors.Is(err, persistence.ErrNotFound):
		return nil, fmt.Errorf("%w: %s", ErrUnknown, ref)
	case errors.Is(err, persistence.ErrConflict):
		return nil, fmt.Errorf("%w: %s", ErrNotRetired, ref)
	case err != nil:
		return nil, fmt.Errorf("remove %s: %w", ref, err)
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
	if r.GetRemovedAt() != 0 {
		since += "; it was removed at " + time.Unix(0, r.GetRemovedAt()).UTC().Format(time.DateTime) + " UTC"
	}
	if ref.Version == messages.Latest {
		return fmt.Errorf("%w: all versions of %s/%s are retired, the latest since %s", ErrRetired, ref.Namespace, ref.Name, since)
	}
	return fmt.Errorf("%w: %s is retired since %s", ErrRetired, ref, since)
}

// Row returns what is kept in memory of a definition; its version may be latest.
func (c *Catalog) Row(ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	x, err := c.entry(ref)
	if err != nil {
		return nil, err
	}
	return x.row.Load(), nil
}

// Document reads a definition from the journal, also one that is removed. Its version may not be latest.
func (c *Catalog) Document(ctx context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	return c.document(ctx, ref)
}

// Rows returns what is kept in memory of the deployed definitions of a namespace (empty: of all), by name and version.
func (c *Catalog) Rows(namespace string) []*journalv1.DefinitionRow {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var rows []*journalv1.DefinitionRow
	for ref, x := range c.byRef {
		if row := x.row.Load(); !isRemoved(row) && (namespace == "" || ref.Namespace == namespace) {
			rows = append(rows, row)
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
