package workflow

import (
	"errors"
	"fmt"

	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// Raise raises an error.
type Raise struct {
	plain

	// These make strings; Title, Detail and Instance may be nil.
	Type, Title, Detail, Instance Expr
	Status                        int32
}

func (r *Raise) step(m *machine, f *frame) {
	p := &problemv1.Problem{Status: r.Status, Instance: f.task.Ref}
	for _, x := range [...]struct {
		name string
		from Expr
		to   *string
	}{{"type", r.Type, &p.Type}, {"title", r.Title, &p.Title}, {"detail", r.Detail, &p.Detail}, {"instance", r.Instance, &p.Instance}} {
		if x.from == nil {
			continue
		}
		v, err := x.from.Eval(f.input, m.argsOf(f))
		if err == nil {
			*x.to, err = raised(x.name, v)
		}
		if err != nil {
			m.fault(f, expressionProblem(f.task, err))
			return
		}
	}
	m.fault(f, p)
}

// raised checks a property of an error to be raised, and returns it.
func raised(name string, v *Value) (string, error) {
	x, err := v.Any()
	if err != nil {
		return "", err
	}
	s, ok := x.(string)
	switch {
	case !ok:
		return "", fmt.Errorf("%q of the error to raise must be a string, but is %.60s", name, v.JSON())
	case name == "type" && s == "":
		return "", errors.New("\"type\" of the error to raise is empty, but must be a URI that tells what kind of error it is")
	case name == "instance" && s != "" && s[0] != '/':
		return "", fmt.Errorf("\"instance\" of the error to raise must be a JSON pointer such as \"/do/0/name\", but is %.60q", s)
	}
	return s, nil
}
