package definition

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/netresearch/go-cron"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// leastInterval is how close the due times of a schedule can be.
const leastInterval = time.Second

// schedule reads when orders come into being by themselves. Settings is the property "metadata.holdfast.schedule", nil if there is none.
func (c *compiler) schedule(n, settings *node) {
	o := c.object(n, "the property \"schedule\"", "every", "cron", "after", "on")
	set := c.object(settings, "the property \"metadata.holdfast.schedule\"", "timeZone", "missed", "overlap")
	if !o.ok {
		if settings != nil && n == nil {
			c.atf(settings, "the workflow has no schedule: add the property \"schedule\", or remove this")
		}
		return
	}
	if len(n.items) != 1 {
		c.atf(n, "\"schedule\" must have one of the properties \"every\", \"cron\", \"after\" and \"on\", but has %d", len(n.items))
		return
	}
	out := &workflow.Schedule{}
	zone := time.UTC
	if v := set.get("timeZone"); v != nil && c.isString(v, "timeZone") {
		zone = c.timeZone(v)
	}
	switch v := n.items[0]; n.keys[0].name {
	case "every":
		d := c.interval(v, "every")
		out.Times, out.Text = every(d), "every "+d.String()
	case "after":
		out.After = c.interval(v, "after")
		out.Text = out.After.String() + " after the one before"
	case "cron":
		out.Times, out.Text = c.cron(v, zone), fmt.Sprintf("cron %s %s", v.text, zone)
	case "on":
		out.On = &workflow.Listen{Read: workflow.ReadEnvelope}
		out.On.To, out.On.Until, out.On.UntilEvents = c.consumption(v, scope{schedule: true}, true)
		out.Text = "on events"
		if len(out.On.Filters()) > maxFilters {
			c.atf(v, "the schedule listens with more than %d filters", maxFilters)
		}
	default: // which the schedule does not have, as was told
		return
	}
	if v := set.get("timeZone"); v != nil && n.keys[0].name != "cron" {
		c.atf(v, "\"timeZone\" is about \"cron\" alone: remove it")
	}
	c.policies(set, out)
	out.Digest = digestOf(out, n)
	if s := c.def.Input.Schema; s != nil && out.On == nil {
		if err := s.Validate(workflow.NewValue(workflow.ScheduledInput(out)), nil); err != nil {
			c.atf(n, "the input of an order that comes into being by itself is {}, which the schema of the input does not take: %v", err)
		}
	}
	c.scheduledTerms(n, out)
	c.def.Schedule = out
}

// scheduledTerms checks that an order that comes into being by itself, other than on events, can be accepted: its input is known. How long
// keys can be, and how many labels there can be, is up to the nodes.
func (c *compiler) scheduledTerms(n *node, s *workflow.Schedule) {
	if c.def.Terms == nil || s.On != nil || c.stored || c.failed() {
		return
	}
	unbounded := workflow.TermLimits{Key: math.MaxInt, Labels: math.MaxInt}
	_, err := c.def.Terms.Agree(&journalv1.OrderAccepted{}, workflow.NewValue(workflow.ScheduledInput(s)), unbounded, nil)
	if err != nil {
		c.atf(n, "the input of an order that comes into being by itself is {}, which does not fit: %v", err)
	}
}

// digestOf tells a rule from others, however it is written.
func digestOf(s *workflow.Schedule, n *node) []byte {
	what := any(s.Text)
	if s.On != nil {
		what = n.value()
	}
	raw, _ := json.Marshal(what) //nolint:errchkjson // it was read from JSON or YAML
	sum := sha256.Sum256(raw)
	return sum[:16]
}

// policies reads what becomes of due times at which no order comes into being.
func (c *compiler) policies(set object, out *workflow.Schedule) {
	if v := set.get("missed"); v != nil && c.isString(v, "missed") {
		known := map[string]workflow.Missed{"last": workflow.MissedLast, "skip": workflow.MissedSkip, "all": workflow.MissedAll}
		policy, is := known[v.text]
		if out.Missed = policy; !is {
			c.atf(v, "\"missed\" must be one of \"skip\", \"last\" and \"all\", but is %s", v.describe())
		}
		if out.Times == nil {
			c.atf(v, "\"missed\" is about \"every\" and \"cron\": remove it")
		}
	}
	v := set.get("overlap")
	switch {
	case v == nil, v.kind == stringKind && v.text == "allow":
	case v.kind != stringKind || v.text != "skip":
		c.atf(v, "\"overlap\" must be \"allow\" or \"skip\", but is %s", v.describe())
	case out.Times == nil:
		c.atf(v, "\"overlap: skip\" is about \"every\" and \"cron\": remove it; orders of one order key run one after the other")
	default:
		out.Single = true
	}
}

func (c *compiler) timeZone(n *node) *time.Location {
	zone, err := time.LoadLocation(n.text)
	if err != nil || n.text == "" || n.text == "Local" {
		c.atf(n, "\"timeZone\" must be the name of a time zone, such as Europe/Berlin or UTC, but is %s", n.describe())
		return time.UTC
	}
	return zone
}

// interval reads a duration between orders.
func (c *compiler) interval(n *node, name string) time.Duration {
	d, fixed := c.duration(n, placeSchedule, nil).(span)
	switch {
	case !fixed || d.months != 0:
		c.atf(n, "%q must be a duration without months, and no expression, such as PT1H, but is %s: \"cron\" goes by the calendar",
			name, n.describe())
	case d.rest < leastInterval:
		c.atf(n, "%q must be at least %v, but is %v", name, leastInterval, d.rest)
	default:
		return d.rest
	}
	return leastInterval
}

// every are the times that come in the same interval.
type every time.Duration

// Next implements workflow.Times.
func (e every) Next(after, from time.Time) time.Time {
	if after.Before(from) {
		return from.Add(time.Duration(e))
	}
	return from.Add((after.Sub(from)/time.Duration(e) + 1) * time.Duration(e))
}

// calendar are the times that a cron expression selects.
type calendar struct {
	spec *cron.SpecSchedule
	zone *time.Location
}

const cronFields = cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.Extended |
	cron.DowOrDom

var errNoCron = errors.New("give \"timeZone\" in \"metadata.holdfast.schedule\", and \"every\" for intervals")

func (c *compiler) cron(n *node, zone *time.Location) workflow.Times {
	if !c.isString(n, "cron") {
		return nil
	}
	var err error
	var parsed cron.Schedule
	if strings.Contains(n.text, "TZ=") || strings.HasPrefix(n.text, "@every") {
		err = errNoCron
	} else {
		parsed, err = cron.MustNewParser(cronFields).Parse(n.text)
	}
	spec, is := parsed.(*cron.SpecSchedule)
	if err != nil || !is {
		c.atf(n, "\"cron\" must be an expression of five fields, for minute, hour, day of the month, month and day of the week, such as "+
			"'30 4 * * MON-FRI', or of six, with the second first, but is %s: %v", n.describe(), err)
		return nil
	}
	out := calendar{spec, zone}
	if out.Next(time.Now(), time.Time{}).IsZero() { // a day that no year has
		c.atf(n, "\"cron\" selects no time of the next years: %s", n.describe())
	}
	return out
}

// Next implements workflow.Times. What is due at a time that the clocks leap over is due as much later as they leap. What has happened at a
// time of the clock does not happen again when the clock is put back, unless all hours are selected.
func (c calendar) Next(after, _ time.Time) time.Time {
	const allHours = 1<<24 - 1
	if spec := *c.spec; spec.Hour&allHours == allHours {
		spec.Location = c.zone
		return spec.Next(after)
	}
	spec := *c.spec
	spec.Location = time.UTC
	at := after.In(c.zone)
	clock := time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
	for {
		if clock = spec.Next(clock); clock.IsZero() {
			return clock
		}
		if next := c.first(clock); next.After(after) {
			return next
		}
	}
}

// first returns when clocks of the zone show a time first, which is given as one of UTC; if they leap over it, when they would have. They
// are changed once in two days at most.
func (c calendar) first(clock time.Time) time.Time {
	const day = 24 * time.Hour
	offset := func(at time.Time) time.Duration {
		_, seconds := at.In(c.zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	before, after := offset(clock.Add(-day)), offset(clock.Add(day))
	early, late := clock.Add(-before), clock.Add(-after)
	if offset(early) != before && offset(late) == after {
		return late
	}
	return early
}
