package workflow

// Set leaves a value that it makes of its input.
type Set struct {
	plain

	Value Expr
}

func (k *Set) step(m *machine, f *frame) {
	out, err := k.Value.Eval(f.input, m.argsOf(f))
	if err != nil {
		m.fault(f, expressionProblem(f.task, err))
		return
	}
	m.complete(f, out, "")
}
