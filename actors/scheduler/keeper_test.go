package scheduler_test

import (
	"log/slog"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/actors/scheduler"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// known is a catalogue, and what was asked of schedules, which is answered at once.
type known struct {
	rows   []*journalv1.DefinitionRow
	asked  []string
	answer *nodev1.Answer
}

func (k *known) Scheduled() []*journalv1.DefinitionRow { return k.rows }

func (k *known) Ask(_ runtime.Owner, e *nodev1.Envelope, done func(*nodev1.Answer)) {
	k.asked = append(k.asked, e.GetArm().GetSchedule().GetName()+" "+e.GetArm().GetDefinition())
	done(k.answer)
}

// Schedules of partitions that are here are told what is deployed until they know, and again when it changes or the partition comes again.
func TestKeeper(t *testing.T) {
	t.Parallel()
	row := func(version string) *journalv1.DefinitionRow {
		return &journalv1.DefinitionRow{Namespace: "test", Name: "job", Version: version, Hash: []byte(version), Scheduled: true}
	}
	k := &known{answer: &nodev1.Answer{}}
	here := true
	keeper := scheduler.NewKeeper(k, k, func(messages.Partition) bool { return here }, slog.New(slog.DiscardHandler))
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"nothing is deployed", func() {}, nil},
		{"the schedule fails", func() {
			k.rows, k.answer = []*journalv1.DefinitionRow{row("1.0.0")}, &nodev1.Answer{Failure: &nodev1.Failure{Text: "busy"}}
		}, []string{"job test/job:1.0.0"}},
		{"it is told again", func() { k.answer = &nodev1.Answer{} }, []string{"job test/job:1.0.0"}},
		{"it knows", func() {}, nil},
		{"another version", func() { k.rows[0] = row("2.0.0") }, []string{"job test/job:2.0.0"}},
		{"the partition is elsewhere", func() { here = false }, nil},
		{"it is here again", func() { here = true }, []string{"job test/job:2.0.0"}},
		{"it is retired", func() {
			k.rows[0] = row("2.0.0")
			k.rows[0].Retirement = &journalv1.Retirement{At: 1}
		}, []string{"job "}},
		{"it knows that", func() {}, nil},
	} {
		k.asked = nil
		step.do()
		keeper.Tick()
		if !slices.Equal(k.asked, step.want) {
			t.Errorf("%s: schedules were told %q, want %q", step.name, k.asked, step.want)
		}
	}
}
