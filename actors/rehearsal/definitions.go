package rehearsal

import (
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// Definitions are those that orders of cases may run.
type Definitions struct{ all []*workflow.Definition }

// NewDefinitions makes them of compiled definitions. Of several of one name and version the first one counts.
func NewDefinitions(all ...*workflow.Definition) *Definitions {
	return &Definitions{slices.Clone(all)}
}

// Find returns a definition, whose version may be latest: then it is the highest one, a release if there is one. It is nil if there is
// none.
func (d *Definitions) Find(ref messages.DefinitionRef) *workflow.Definition {
	var best *workflow.Definition
	for _, def := range d.all {
		switch {
		case def.Ref.Namespace != ref.Namespace || def.Ref.Name != ref.Name:
		case def.Ref.Version == ref.Version:
			return def
		case ref.Version == messages.Latest && (best == nil || before(best.Ref.Version, def.Ref.Version)):
			best = def
		}
	}
	return best
}

// before tells whether a version is less than another one: pre-releases are less than all releases.
func before(a, b string) bool {
	if messages.IsRelease(a) != messages.IsRelease(b) {
		return messages.IsRelease(b)
	}
	return messages.CompareVersions(a, b) < 0
}

// vocabulary is what a file of cases can name.
type vocabulary struct {
	// path are the tasks of the definition that is tested, undone those whose work can be undone; by name and reference.
	path, undone []string
	// stubs are the tasks that call something, by name and reference; activities and workflows what they call. All definitions count.
	stubs, activities, workflows []string
	// runs are those of stubs that start a child, calls those that call an activity.
	runs, calls map[string]bool
}

func (d *Definitions) vocabulary(main *workflow.Definition) vocabulary {
	v := vocabulary{runs: map[string]bool{}, calls: map[string]bool{}}
	for _, t := range main.Tasks {
		if onPath(t) {
			v.path = append(v.path, t.Name, t.Ref)
		}
		if t.Compensate != nil {
			v.undone = append(v.undone, t.Name, t.Ref)
		}
	}
	for _, def := range append([]*workflow.Definition{main}, d.all...) {
		if def != main {
			for _, t := range def.Tasks {
				if t.Compensate != nil { // of a child that is undone
					v.undone = append(v.undone, t.Name, t.Ref)
				}
			}
		}
		for _, t := range def.Tasks {
			switch k := t.Kind.(type) {
			case *workflow.Call:
				v.stubs = append(v.stubs, t.Name, t.Ref)
				v.calls[t.Name], v.calls[t.Ref] = true, true
				if is, _ := definition.Builtin(k.Activity); !is {
					v.activities = append(v.activities, withoutVersion(k.Activity))
				}
			case *workflow.Run:
				v.stubs = append(v.stubs, t.Name, t.Ref)
				v.runs[t.Name], v.runs[t.Ref] = true, true
				v.workflows = append(v.workflows, withoutVersion(k.Definition.String()), k.Definition.String())
			}
		}
	}
	return v
}

// withoutVersion is adapter.activity of an activity that is called in a certain version, or namespace/name of a definition.
func withoutVersion(name string) string {
	name, _, _ = strings.Cut(name, ":")
	return name
}

// onPath tells whether a task counts for the path of an order: one that is written where the order goes, no compensation, and none of an
// extension.
func onPath(t *workflow.Task) bool {
	return t.Of == nil && !isCompensation(t.Ref) && !strings.HasSuffix(t.Ref, "/extensions")
}

// compensation is what follows the reference of a task in that of the task that undoes its work.
const compensation = "/metadata/holdfast/compensate"

// isCompensation tells whether a task, or one around it, undoes work.
func isCompensation(ref string) bool {
	return strings.HasSuffix(ref, compensation) || strings.Contains(ref, compensation+"/")
}

// isNamed tells whether a task is meant by a name, or by its reference.
func isNamed(t *workflow.Task, name string) bool { return name == t.Name || name == t.Ref }
