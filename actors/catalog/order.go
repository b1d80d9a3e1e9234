package catalog

import (
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// InputError says that an input does not match the schema of a definition.
type InputError struct {
	Definition messages.DefinitionRef
	err        error
}

func (e *InputError) Error() string {
	return "does not match the schema of " + e.Definition.String() + ": " + e.err.Error()
}

func (e *InputError) Unwrap() error { return e.err }

// Pin is the definition that a new order is to run.
type Pin struct {
	Ref  messages.DefinitionRef
	Hash []byte
}

// Checker is told when an input is about to be checked, which may take long.
type Checker interface{ Checking() }

// checking is the turns of the checking of an input.
type checking struct{ Checker }

func (checking) Large()              {}
func (checking) Long()               {}
func (checking) Show() time.Duration { return 0 }

// Pin finds the definition of a new order with an input, valid JSON; its version may be latest. With ErrRetired it is returned all
// the same, for an order that was accepted before. An input that does not match its schema is an *InputError. The checker is told before it
// is checked, if that may take long; nil: nobody is.
func (c *Catalog) Pin(ref messages.DefinitionRef, input []byte, checker Checker) (Pin, error) {
	def, err := c.Definition(ref)
	if def == nil {
		return Pin{}, err
	}
	if s := def.Input.Schema; s != nil {
		var meter workflow.Meter
		if checker != nil {
			meter.Turns = checking{checker}
		}
		if wrong := s.Validate(workflow.NewValue(input), &meter); wrong != nil {
			return Pin{}, &InputError{def.Ref, wrong}
		}
	}
	return Pin{def.Ref, def.Hash}, err
}

// Examined is what a document says.
type Examined struct {
	Ref        messages.DefinitionRef
	Title      string
	Activities []string
	Routes     []*journalv1.Route
	// Scheduled: orders come into being by themselves.
	Scheduled bool
	// Runs are the definitions that its tasks run, by task.
	Runs map[string]messages.DefinitionRef
}

func examined(def *workflow.Definition) *Examined {
	x := &Examined{
		Ref: def.Ref, Title: def.Title, Activities: def.Activities, Routes: def.Routes, Scheduled: def.Schedule != nil,
		Runs: map[string]messages.DefinitionRef{},
	}
	for ref, t := range def.Tasks {
		if run, runs := t.Kind.(*workflow.Run); runs {
			x.Runs[ref] = run.Definition
		}
	}
	return x
}
