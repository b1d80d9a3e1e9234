package workflow

// Switch chooses which task of its list is next.
type Switch struct {
	plain

	Cases []Case
}

// Case is one way to go on after a switch.
type Case struct {
	Name string
	// When is nil in the default case.
	When Expr
	Then string
}

func (k *Switch) step(m *machine, f *frame) {
	then := ""
	for i := range k.Cases {
		c := &k.Cases[i]
		if c.When == nil {
			then = c.Then // unless another case holds
			continue
		}
		holds, err := c.When.Bool(f.input, m.argsOf(f))
		if err != nil {
			m.fault(f, expressionProblem(f.task, err))
			return
		}
		if holds {
			then = c.Then
			break
		}
	}
	m.complete(f, f.input, then)
}
