package actors

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

	"golang.org/x/mod/semver"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// definitions holds the deployed definitions. They are compiled when they are first used.
type definitions struct {
	store  persistence.Definitions
	limits definition.Limits

	// changing is held while one is deployed, retired or reinstated: what was stored last is what counts in memory.
	changing sync.Mutex

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

func loadDefinitions(ctx context.Context, store persistence.Definitions, limits definition.Limits) (*definitions, error) {
	d := &definitions{
		store: store, limits: limits,
		byRef: map[messages.DefinitionRef]*deployed{}, latest: map[messages.DefinitionRef]messages.DefinitionRef{},
	}
	for row, err := range store.AllDefinitions(ctx) {
		if err != nil {
			return nil, fmt.Errorf("load definitions: %w", err)
		}
		d.add(row)
	}
	return d, nil
}

func refOf(row *journalv1.DefinitionRow) messages.DefinitionRef {
	return messages.DefinitionRef{Namespace: row.GetNamespace(), Name: row.GetName(), Version: row.GetVersion()}
}

// add makes a definition known, or that it was retired or reinstated.
func (d *definitions) add(row *journalv1.DefinitionRow) {
	ref := refOf(row)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byRef[ref] == nil {
		d.byRef[ref] = &deployed{}
	}
	d.byRef[ref].row.Store(row)
	name := messages.DefinitionRef{Namespace: ref.Namespace, Name: ref.Name}
	old, ok := d.latest[name]
	switch {
	case !ok || old != ref && d.before(old, ref):
		d.latest[name] = ref
	case old == ref && row.GetRetirement() != nil: // another one may be the latest now
		for other := range d.byRef {
			if other.Namespace == ref.Namespace && other.Name == ref.Name && d.before(d.latest[name], other) {
				d.latest[name] = other
			}
		}
	}
}

// before tells whether b rather than a is meant by the latest version: it is later, or a is retired and b is not.
func (d *definitions) before(a, b messages.DefinitionRef) bool {
	retired := func(ref messages.DefinitionRef) bool { return d.byRef[ref].row.Load().GetRetirement() != nil }
	if retired(a) != retired(b) {
		return retired(a)
	}
	return later(b.Version, a.Version)
}

// later tells whether a version comes after another when the latest is asked for: any release comes after pre-releases.
func later(a, b string) bool {
	a, b = "v"+a, "v"+b
	if release := semver.Prerelease(a) == ""; release != (semver.Prerelease(b) == "") {
		return release
	}
	return semver.Compare(a, b) > 0
}

// find returns a definition, compiled. The version may be latest: that passes over what is retired, as long as there is another.
func (d *definitions) find(ref messages.DefinitionRef) (*workflow.Definition, error) {
	e, err := d.entry(ref)
	if err != nil {
		return nil, err
	}
	return d.compiled(e)
}

func (d *definitions) entry(ref messages.DefinitionRef) (*deployed, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if ref.Version == messages.Latest {
		if latest, ok := d.latest[messages.DefinitionRef{Namespace: ref.Namespace, Name: ref.Name}]; ok {
			ref = latest
		}
	}
	if e := d.byRef[ref]; e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknownDefinition, ref)
}

// call tells whether any of them calls an activity, whatever the version.
func (d *definitions) call(activity string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, e := range d.byRef {
		for _, called := range e.row.Load().GetActivities() {
			if name, _ := splitActivity(called); name == activity {
				return true
			}
		}
	}
	return false
}

func (d *definitions) compiled(e *deployed) (*workflow.Definition, error) {
	e.once.Do(func() {
		def, mistakes := definition.Load(e.row.Load().GetDocument(), d.limits)
		if len(mistakes) > 0 {
			e.err = fmt.Errorf("%w: %s, line %d: %s", ErrUncompilable, refOf(e.row.Load()), mistakes[0].GetLine(), mistakes[0].GetMessage())
			return
		}
		e.def = def
	})
	return e.def, e.err
}

// pinned returns the definition that an order was accepted with.
func (d *definitions) pinned(name string, hash []byte) (*workflow.Definition, error) {
	ref, err := messages.ParseDefinitionRef(name)
	if err != nil {
		return nil, err
	}
	def, err := d.find(ref)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(def.Hash, hash) {
		return nil, fmt.Errorf("definition %s is not the one that the order was accepted with", ref)
	}
	return def, nil
}

// Check checks a document, and compiles it if nothing is wrong with it that is more than a warning.
func (e *Engine) Check(document []byte) (def *workflow.Definition, mistakes, warnings []*definitionv1.Mistake) {
	def, found := definition.Check(document, e.config.Definition)
	for _, m := range found {
		if m.GetSeverity() == definitionv1.Severity_SEVERITY_WARNING {
			warnings = append(warnings, m)
		} else {
			mistakes = append(mistakes, m)
		}
	}
	return def, mistakes, warnings
}

// Deploy stores a definition for good. ErrConflict if another has its name and version.
func (e *Engine) Deploy(ctx context.Context, row *journalv1.DefinitionRow) (*journalv1.DefinitionRow, error) {
	e.definitions.changing.Lock()
	defer e.definitions.changing.Unlock()
	stored, err := e.journal.PutDefinition(ctx, row)
	if err != nil {
		return nil, fmt.Errorf("deploy %s: %w", refOf(row), err)
	}
	e.definitions.add(stored)
	return stored, nil
}

// Retire takes a definition out of use for new orders, or into use again if r is nil. ErrUnknownDefinition if there is none.
func (e *Engine) Retire(
	ctx context.Context, ref messages.DefinitionRef, r *journalv1.Retirement,
) (*journalv1.DefinitionRow, error) {
	e.definitions.changing.Lock()
	defer e.definitions.changing.Unlock()
	row, err := e.journal.RetireDefinition(ctx, ref, r)
	switch {
	case errors.Is(err, persistence.ErrNotFound):
		return nil, fmt.Errorf("%w: %s", ErrUnknownDefinition, ref)
	case err != nil:
		return nil, fmt.Errorf("retire %s: %w", ref, err)
	}
	e.definitions.add(row)
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
		return fmt.Errorf("%w: all versions of %s/%s are, the latest since %s", ErrRetired, ref.Namespace, ref.Name, since)
	}
	return fmt.Errorf("%w: %s is since %s", ErrRetired, ref, since)
}

// DefinitionRow returns a deployed definition as it is stored; its version may be latest.
func (e *Engine) DefinitionRow(ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	d, err := e.definitions.entry(ref)
	if err != nil {
		return nil, err
	}
	return d.row.Load(), nil
}

// DefinitionRows returns the deployed definitions of a namespace (empty: of all) by name and version.
func (e *Engine) DefinitionRows(namespace string) []*journalv1.DefinitionRow {
	d := e.definitions
	d.mu.RLock()
	defer d.mu.RUnlock()
	var rows []*journalv1.DefinitionRow
	for ref, x := range d.byRef {
		if namespace == "" || ref.Namespace == namespace {
			rows = append(rows, x.row.Load())
		}
	}
	slices.SortFunc(rows, func(a, b *journalv1.DefinitionRow) int { return CompareDefinitions(refOf(a), refOf(b)) })
	return rows
}

// CompareDefinitions tells whether a definition is before another one (negative), behind it (positive) or the same (0): by
// namespace, name and version.
func CompareDefinitions(a, b messages.DefinitionRef) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name),
		semver.Compare("v"+a.Version, "v"+b.Version), strings.Compare(a.Version, b.Version))
}
