package workflow

// Meter counts what evaluations take, so that they are bounded together.
type Meter struct {
	// Steps are the steps of an interpreter, some 50 ns each, and what else takes as long. Checks are what schemas take.
	Steps, Checks int
	// Turns is what evaluations that take long keep to; nil: nothing.
	Turns Turns
}

// Turns has evaluations that take long take turns.
type Turns interface {
	// Large is called when an evaluation is about to make much at once.
	Large()
	// Await returns when an evaluation may go on.
	Await()
	// Show is called now and then, and shows that the evaluation goes on.
	Show()
	// End ends what Await began.
	End()
}

// WithTurns has evaluations of the order that take long take turns.
func (s *State) WithTurns(t Turns) { s.turns = t }

// bytesPerStep is how much is read or made in bulk in the time of a step.
const bytesPerStep = 16

// Count counts steps, and bytes that are read or made in bulk.
func (m *Meter) Count(steps int, bytes int64) {
	if m != nil {
		m.Steps += steps + int(bytes/bytesPerStep)
	}
}

// Check counts applications of schemas.
func (m *Meter) Check(checks int) {
	if m != nil {
		m.Checks += checks
	}
}

// Counted returns the steps counted so far.
func (m *Meter) Counted() int {
	if m == nil {
		return 0
	}
	return m.Steps
}
