package catalog

import (
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// InputError says that a definition does not take an input.
type InputError struct {
	Definition messages.DefinitionRef
	// does is what the input does not do, up to the name of the definition.
	does string
	err  error
}

func (e *InputError) Error() string {
	return "does not " + e.does + " " + e.Definition.String() + ": " + e.err.Error()
}

func (e *InputError) Unwrap() error { return e.err }

// Pin is the definition that a new order is to run.
type Pin struct {
	Ref  messages.DefinitionRef
	Hash []byte
	// Agreed is what the order is accepted with, by itself and by the definition; nil: the definition says nothing of that.
	Agreed *workflow.Agreed
}

// Checker is told when an input is about to be checked, which may take long.
type Checker interface {
	Checking()
	// Show is called now and then while that takes long, and returns when it may go on, and how long it had to wait.
	Show() (waited time.Duration)
}

// checking is the turns of the checking of an input.
type checking struct{ Checker }

func (checking) Large()  {}
func (c checking) Long() { c.Checking() }

// Pin finds the definition of a new order, which has its input, valid JSON, and what it says itself of its key, priority and labels. The
// version may be latest. The order stays as it is. With ErrRetired the definition is returned all the same, for an order that was
// accepted before. An input that does not match the schema of the definition, or that it can't be accepted with, is an *InputError. The
// checker is told before it is checked, if that may take long; nil: nobody is.
func (c *Catalog) Pin(ref messages.DefinitionRef, o *journalv1.OrderAccepted, checker Checker) (Pin, error) {
	def, err := c.Definition(ref)
	if def == nil {
		return Pin{}, err
	}
	var agreed *workflow.Agreed
	if def.Input.Schema != nil || def.Terms != nil {
		var wrong error
		if agreed, wrong = c.agree(def, o, checker); wrong != nil {
			return Pin{}, wrong
		}
	}
	return Pin{def.Ref, def.Hash, agreed}, err
}

// agree checks the input of an order, and returns what the order is accepted with; nil if the definition says nothing of that.
func (c *Catalog) agree(def *workflow.Definition, o *journalv1.OrderAccepted, checker Checker) (agreed *workflow.Agreed, err error) {
	input, meter := workflow.NewValue(o.GetInput()), &workflow.Meter{}
	if checker != nil {
		meter.Turns = checking{checker}
	}
	if s := def.Input.Schema; s != nil {
		if wrong := s.Validate(input, meter); wrong != nil {
			return nil, &InputError{def.Ref, "match the schema of", wrong}
		}
	}
	if def.Terms != nil {
		var wrong error
		if agreed, wrong = def.Terms.Agree(o, input, c.config.Terms, meter); wrong != nil {
			return nil, &InputError{def.Ref, "fit", wrong}
		}
	}
	return agreed, nil
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
