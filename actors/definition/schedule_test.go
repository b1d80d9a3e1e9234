package definition_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
)

// scheduled compiles a definition with a schedule, and what its metadata says of that.
func scheduled(rule, settings string) (*workflow.Definition, string) {
	def, mistakes := definition.Compile(fmt.Appendf(nil, "document: {dsl: 1.0.3, namespace: test, name: one, version: 1.0.0, "+
		"metadata: {holdfast: {schedule: %s}}}\nschedule: %s\ndo: [{a: {set: {b: 1}}}]\n", settings, rule), definition.Limits{})
	var text []string
	for _, m := range mistakes {
		text = append(text, m.GetMessage())
	}
	return def, strings.Join(text, "; ")
}

// Due times are those of the clocks of the time zone, also where these are put forward or back.
func TestCron(t *testing.T) {
	t.Parallel()
	const layout = "2006-01-02 15:04 MST"
	for name, c := range map[string]struct {
		cron, zone, from string
		want             []string
	}{
		"each working day":          {"30 4 * * MON-FRI", "UTC", "2030-01-03 05:00 UTC", []string{"2030-01-04 04:30 UTC", "2030-01-07 04:30 UTC"}},
		"either day":                {"0 0 13 * FRI", "UTC", "2030-01-01 00:00 UTC", []string{"2030-01-04 00:00 UTC", "2030-01-11 00:00 UTC", "2030-01-13 00:00 UTC"}},
		"the last day":              {"0 0 L * *", "UTC", "2028-02-01 00:00 UTC", []string{"2028-02-29 00:00 UTC", "2028-03-31 00:00 UTC"}},
		"a leap day":                {"0 0 29 2 *", "UTC", "2029-01-01 00:00 UTC", []string{"2032-02-29 00:00 UTC"}},
		"put forward, before":       {"30 1 * * *", "Europe/Berlin", "2030-03-30 12:00 CET", []string{"2030-03-31 01:30 CET", "2030-04-01 01:30 CEST"}},
		"put forward, within":       {"30 2 * * *", "Europe/Berlin", "2030-03-30 12:00 CET", []string{"2030-03-31 03:30 CEST", "2030-04-01 02:30 CEST"}},
		"put forward over midnight": {"0 0 * * *", "America/Santiago", "2030-09-07 12:00 -04", []string{"2030-09-08 01:00 -03", "2030-09-09 00:00 -03"}},
		"put back, within":          {"30 2 * * *", "Europe/Berlin", "2030-10-26 12:00 CEST", []string{"2030-10-27 02:30 CEST", "2030-10-28 02:30 CET"}},
		"put back, every half hour": {"0,30 * * * *", "Europe/Berlin", "2030-10-27 02:15 CEST", []string{
			"2030-10-27 02:30 CEST", "2030-10-27 02:00 CET", "2030-10-27 02:30 CET", "2030-10-27 03:00 CET",
		}},
		"put back, at several hours": {"0 1-3 * * *", "Europe/Berlin", "2030-10-27 00:30 CEST", []string{
			"2030-10-27 01:00 CEST", "2030-10-27 02:00 CEST", "2030-10-27 03:00 CET",
		}},
		"put back by half an hour": {"45 1 * * *", "Australia/Lord_Howe", "2030-04-06 12:00 +11", []string{"2030-04-07 01:45 +11", "2030-04-08 01:45 +1030"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			def, wrong := scheduled("{cron: '"+c.cron+"'}", "{timeZone: "+c.zone+"}")
			if def == nil {
				t.Fatal(wrong)
			}
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.ParseInLocation(layout, c.from, zone)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				at = def.Schedule.Times.Next(at, time.Time{}).In(zone)
				if got := at.Format(layout); got != want {
					t.Fatalf("due at %s, want %s", got, want)
				}
			}
		})
	}
}

// What a schedule can't be is told.
func TestWrongSchedules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rule, settings, want string }{
		{"{}", "{}", `must have one of the properties "every", "cron", "after" and "on", but has 0`},
		{"{every: PT1S, after: PT1S}", "{}", "but has 2"},
		{"{evry: PT1S}", "{}", `did you mean "every"`},
		{"{every: PT0.5S}", "{}", "must be at least 1s, but is 500ms"},
		{"{every: P1M}", "{}", `"cron" goes by the calendar`},
		{"{after: '${ 1 }'}", "{}", "no expression"},
		{"{cron: '* * * *'}", "{}", "must be an expression of five fields"},
		{"{cron: '61 * * * *'}", "{}", "must be an expression of five fields"},
		{"{cron: '0 0 30 2 *'}", "{}", "selects no time of the next years"},
		{"{cron: 'TZ=UTC 0 0 * * *'}", "{}", `give "timeZone"`},
		{"{cron: '@every 1h'}", "{}", `"every" for intervals`},
		{"{cron: 5}", "{}", "must be a string"},
		{"{cron: '@daily'}", "{timeZone: Mars}", "must be the name of a time zone"},
		{"{cron: '@daily'}", "{timeZone: Local}", "must be the name of a time zone"},
		{"{every: PT1H}", "{timeZone: UTC}", `is about "cron" alone`},
		{"{every: PT1H}", "{missed: none}", `must be one of "skip", "last" and "all"`},
		{"{after: PT1H}", "{missed: all}", `is about "every" and "cron"`},
		{"{on: {one: {with: {type: t}}}}", "{overlap: skip}", `is about "every" and "cron"`},
		{"{every: PT1H}", "{overlap: no}", `must be "allow" or "skip"`},
		{"{every: PT1H}", "{jitter: 1}", `has no property "jitter"`},
		{"{on: {one: {with: {type: t}, correlate: {a: {from: .id, expect: '${ $workflow.id }'}}}}}", "{}", "$workflow"},
		{"{on: {any: [{with: {type: t}}], until: '${ $context.x }'}}", "{}", "$context"},
		{"{on: {one: {}}}", "{}", `"with"`},
	} {
		if def, wrong := scheduled(c.rule, c.settings); def != nil || !strings.Contains(wrong, c.want) {
			t.Errorf("%s with %s: %q, want %q", c.rule, c.settings, wrong, c.want)
		}
	}
	def, mistakes := definition.Compile([]byte("document: {dsl: 1.0.3, namespace: test, name: one, version: 1.0.0}\nschedule: {every: PT1H}\n"+
		"input: {schema: {document: {required: [x]}}}\ndo: [{a: {set: {b: 1}}}]\n"), definition.Limits{})
	if def != nil || len(mistakes) != 1 || !strings.Contains(mistakes[0].GetMessage(), "is {}") {
		t.Errorf("an input that the schema does not take: %v", mistakes)
	}
}

// The digest of a schedule is that of what it says, however it is written; and its filters are routes of the definition.
func TestScheduleDigest(t *testing.T) {
	t.Parallel()
	digest := func(rule, settings string) string {
		def, wrong := scheduled(rule, settings)
		if def == nil {
			t.Fatalf("%s: %s", rule, wrong)
		}
		return string(def.Schedule.Digest)
	}
	if digest("{every: PT60S}", "{}") != digest("{every: {minutes: 1}}", "{missed: all}") {
		t.Error("the same interval has two digests")
	}
	if digest("{cron: '@daily'}", "{}") == digest("{cron: '@daily'}", "{timeZone: Europe/Berlin}") {
		t.Error("the time zone does not count")
	}
	if digest("{on: {one: {with: {type: a}}}}", "{}") == digest("{on: {one: {with: {type: b}}}}", "{}") {
		t.Error("the events do not count")
	}
	def, _ := scheduled("{on: {one: {with: {type: a}}}}", "{}")
	if len(def.Routes) != 1 || def.Routes[0].GetType() != "a" || len(def.FiltersOf(workflow.ScheduleRef)) != 1 {
		t.Errorf("routes are %v", def.Routes)
	}
}
