package workflow_test

import (
	"encoding/json"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// The language has no construct for branches yet. A document of the tests asks for them by the metadata of a do task:
//
//	branches: join or compete    each task of the list, a do itself, is one
//	branches: each               the only task of the list, a do itself, is run for each item of the array in items; atOnce at a time
type asked struct {
	Metadata struct {
		Branches string          `json:"branches"`
		Items    json.RawMessage `json:"items"`
		AtOnce   int             `json:"atOnce"`
	} `json:"metadata"`
}

// withBranches replaces the do tasks of a definition that ask for branches.
func withBranches(def *workflow.Definition) *workflow.Definition {
	for _, t := range def.Tasks {
		do, ok := t.Kind.(*workflow.Do)
		if !ok {
			continue
		}
		raw, err := json.Marshal(t.Raw)
		if err != nil {
			panic(err)
		}
		var b asked
		if err := json.Unmarshal(raw, &b); err != nil {
			panic(err)
		}
		var lists []*workflow.List
		for _, inner := range do.List.Tasks {
			if do, ok := inner.Kind.(*workflow.Do); ok {
				lists = append(lists, do.List)
			}
		}
		switch m := b.Metadata; m.Branches {
		case "join", "compete":
			t.Kind = &workflow.Fork{Lists: lists, Compete: m.Branches == "compete"}
		case "each":
			t.Kind = &workflow.Each{Items: items{m.Items}, List: lists[0], AtOnce: m.AtOnce}
		}
	}
	return def
}

// items is what a loop goes through: an array that it is given, or its input.
type items struct{ array json.RawMessage }

func (i items) Eval(in *workflow.Value, _ *workflow.Args) (*workflow.Value, error) {
	if i.array == nil {
		return in, nil
	}
	return workflow.NewValue(i.array), nil
}

func (items) Bool(*workflow.Value, *workflow.Args) (bool, error) { return true, nil }
