package definition

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

const day = 24 * time.Hour

// The longest duration: a hundred years. A month counts longestSpan/longestMonths of it.
const (
	longestMonths = 100 * 12
	longestSpan   = 100 * 366 * day
)

// span is a fixed duration. Its months are those of the calendar.
type span struct {
	months int
	rest   time.Duration
}

// After returns from plus the span. Where the month reached is too short, its last day counts: a month after January 31
// is the last of February.
func (s span) After(from time.Time, _ *workflow.Value, _ *workflow.Args) (time.Time, error) {
	if s.months == 0 {
		return from.Add(s.rest), nil
	}
	from = from.UTC()
	to := from.AddDate(0, s.months, 0)
	if to.Day() != from.Day() {
		to = to.AddDate(0, 0, -to.Day())
	}
	return to.Add(s.rest), nil
}

// computed is a duration that an expression gives.
type computed struct{ expr workflow.Expr }

// After evaluates the duration and returns from plus it.
func (d computed) After(from time.Time, in *workflow.Value, args *workflow.Args) (time.Time, error) {
	v, err := d.expr.Eval(in, args)
	if err != nil {
		return time.Time{}, err
	}
	decoded, err := v.Any()
	if err != nil {
		return time.Time{}, err
	}
	text, ok := decoded.(string)
	if !ok {
		return time.Time{}, fmt.Errorf("the duration is %s, but must be a string such as \"PT15M\"",
			shorten(string(v.JSON()), 60))
	}
	s, err := parseISO(text)
	if err != nil {
		return time.Time{}, err
	}
	return s.After(from, in, args)
}

// fixedOver tells whether both durations are fixed, and a longer than b.
func fixedOver(a, b workflow.Duration) bool {
	x, ok1 := a.(span)
	y, ok2 := b.(span)
	return ok1 && ok2 && x.months == y.months && x.rest > y.rest
}

var isoPattern = regexp.MustCompile(`^P(?:([\d.]+)Y)?(?:([\d.]+)M)?(?:([\d.]+)W)?(?:([\d.]+)D)?` +
	`(?:T(?:([\d.]+)H)?(?:([\d.]+)M)?(?:([\d.]+)S)?)?$`)

var isoUnits = [...]time.Duration{7 * day, day, time.Hour, time.Minute, time.Second}

// parseISO reads a duration such as P1Y2M3W4DT5H6M7.5S.
func parseISO(text string) (span, error) {
	parts := isoPattern.FindStringSubmatch(text)
	if parts == nil || len(text) > 64 || strings.HasSuffix(text, "T") || text == "P" {
		return span{}, fmt.Errorf("the duration %s is not of the form P1Y2M3W4DT5H6M7.5S, such as PT15M for 15 minutes",
			shorten(text, 60))
	}
	var s span
	for i, months := range [...]int{12, 1} {
		if parts[i+1] == "" {
			continue
		}
		n, err := strconv.Atoi(parts[i+1])
		if err != nil || n > longestMonths {
			return span{}, fmt.Errorf("the duration %s must have whole years and months, at most a hundred years: "+
				"their length depends on the calendar", shorten(text, 60))
		}
		s.months += n * months
	}
	for i, unit := range isoUnits {
		if parts[i+3] == "" {
			continue
		}
		f, err := strconv.ParseFloat(parts[i+3], 64)
		if err != nil || strings.HasPrefix(parts[i+3], ".") || strings.HasSuffix(parts[i+3], ".") {
			return span{}, fmt.Errorf("the number %q in the duration %s can't be read", parts[i+3], shorten(text, 60))
		}
		if f*float64(unit) > float64(longestSpan) {
			return span{}, errTooLong
		}
		if whole, err := strconv.ParseInt(parts[i+3], 10, 64); err == nil {
			s.rest += time.Duration(whole) * unit
		} else {
			s.rest += time.Duration(math.Round(f * float64(unit)))
		}
		if s.rest > longestSpan {
			return span{}, errTooLong
		}
	}
	if s.months > longestMonths || s.rest > longestSpan-time.Duration(s.months)*(longestSpan/longestMonths) {
		return span{}, errTooLong
	}
	return s, nil
}

var errTooLong = errors.New("the duration is longer than a hundred years: shorten it")

var durationUnits = []struct {
	name string
	unit time.Duration
}{
	{"days", day},
	{"hours", time.Hour},
	{"minutes", time.Minute},
	{"seconds", time.Second},
	{"milliseconds", time.Millisecond},
}

// duration reads a duration; nil after a mistake.
func (c *compiler) duration(n *node, p place, vars []string) workflow.Duration {
	switch {
	case n.isExpression():
		if e := c.template(n, p, vars); e != nil {
			return computed{e}
		}
		return nil
	case n.kind == stringKind:
		s, err := parseISO(n.text)
		if err != nil {
			c.atf(n, "%v", err)
			return nil
		}
		return s
	case n.kind != objectKind:
		c.atf(n, "a duration must be an object such as {seconds: 30}, a string such as \"PT30S\" or an expression in ${ }, "+
			"but is %s", n.describe())
		return nil
	}
	o := c.object(n, "a duration", "days", "hours", "minutes", "seconds", "milliseconds")
	if len(n.keys) == 0 {
		c.atf(n, "the duration is empty: give it days, hours, minutes, seconds or milliseconds")
		return nil
	}
	var ms int64 // as durations, five parts of a hundred years each would overflow
	for _, u := range durationUnits {
		if v := o.get(u.name); v != nil {
			i, _ := c.integer(v, u.name, 0, int64(longestSpan/u.unit))
			ms += i * u.unit.Milliseconds()
		}
	}
	if ms > longestSpan.Milliseconds() {
		c.atf(n, "%v", errTooLong)
		return nil
	}
	return span{rest: time.Duration(ms) * time.Millisecond}
}

// timeout reads a timeout, or a reference to one.
func (c *compiler) timeout(n *node, p place, vars []string) workflow.Duration {
	if n == nil {
		return nil
	}
	if n.kind == stringKind {
		if n = c.named(n, "timeouts"); n == nil {
			return nil
		}
	}
	return c.timeoutDefinition(n, p, vars)
}

func (c *compiler) timeoutDefinition(n *node, p place, vars []string) workflow.Duration {
	if after := c.object(n, "a timeout", "after").required("after"); after != nil {
		return c.duration(after, p, vars)
	}
	return nil
}
