package workflow

import "time"

// Meter counts what evaluations take, so that they are bounded together.
type Meter struct {
	// Steps are the steps of an interpreter, some 50 ns each, and what else takes as long. Checks are what schemas take.
	Steps, Checks int
	// Turns is what evaluations that take long keep to; nil: nothing.
	Turns Turns
	// earlier are the steps of the same decision that are not bounded together with these. long: all have taken long.
	earlier int
	long    bool
}

// Turns has evaluations that take long take turns.
type Turns interface {
	// Large is called when an evaluation is about to make much at once.
	Large()
	// Checking is called when a value is about to be checked with a schema, which may take long.
	Checking()
	// Long is called when evaluations have taken long, and returns when they may go on.
	Long()
	// Show is called now and then from then on, shows that an evaluation goes on, and returns when it may, and how long it had to wait.
	Show() (waited time.Duration)
}

// longSteps is how many steps, a millisecond, the evaluations of one decision may take until they have taken long.
const longSteps = 20_000

// WithTurns has evaluations of the order that take long take turns.
func (s *State) WithTurns(t Turns) { s.turns = t }

// costlyChecks is how many applications of schemas may take long: some 100 ns each, if they are made.
const costlyChecks = 2000

// bytesPerStep is how much is read or made in bulk in the time of a step.
const bytesPerStep = 16

// Count counts steps, and bytes that are read or made in bulk.
func (m *Meter) Count(steps int, bytes int64) {
	if m != nil {
		m.Steps += steps + int(bytes/bytesPerStep)
		m.TookLong(0)
	}
}

// Check counts applications of schemas that are about to be made, at most.
func (m *Meter) Check(checks int) {
	if m == nil {
		return
	}
	m.Checks += checks
	if m.Turns != nil && checks > costlyChecks {
		m.Turns.Checking()
	}
}

// TookLong tells whether evaluations have taken long, together with so many steps that are not counted yet. From then on they take turns.
func (m *Meter) TookLong(steps int) bool {
	if m == nil || m.Turns == nil {
		return false
	}
	if !m.long && m.earlier+m.Steps+steps > longSteps {
		m.long = true
		m.Turns.Long()
	}
	return m.long
}

// Counted returns the steps counted so far.
func (m *Meter) Counted() int {
	if m == nil {
		return 0
	}
	return m.Steps
}
