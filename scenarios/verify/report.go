package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// figures are what a row measured, by name: numbers, or texts about how.
type figures map[string]any

// number returns a figure as a number.
func (f figures) number(name string) (float64, bool) {
	switch v := f[name].(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, !math.IsNaN(v)
	}
	return 0, false
}

// units are how names of figures end that measure a time, a size, a speed, or a ratio of such. None of those is ever 0:
// then nothing was measured.
var units = []string{"_s", "_ms", "_bytes", "_per_order", "_ratio", "_share", "_kept", "_growth"}

// maybeZero are figures that have such a name and may be 0 all the same. The time of a processor is counted in hundredths of a second.
var maybeZero = []string{"excess_max_s", "least_free_bytes", "adapter_cpu_s", "client_cpu_s"}

// impossible says which figures can't be right, and makes texts of them.
func (f figures) impossible() []string {
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(f)) {
		measures := slices.ContainsFunc(units, func(unit string) bool { return strings.HasSuffix(name, unit) }) &&
			!slices.Contains(maybeZero, name)
		v, isNumber := f.number(name)
		if _, isFloat := f[name].(float64); isFloat && !isNumber || isNumber && (v < 0 || math.IsInf(v, 0) || measures && v == 0) {
			wrong = append(wrong, fmt.Sprintf("%s is %v", name, f[name]))
			f[name] = fmt.Sprint(f[name]) // JSON has no word for some of them
		}
	}
	return wrong
}

// bar says how small or large a figure may be.
type bar struct {
	Min *float64 `json:"min,omitempty"`
	Max *float64 `json:"max,omitempty"`
	// Aim is what it ought to be. It is only told.
	Aim *float64 `json:"aim,omitempty"`
}

// bars are the bars of a row, by the name of the figure.
type bars map[string]bar

func atLeast(v float64) bar { return bar{Min: &v} }
func atMost(v float64) bar  { return bar{Max: &v} }
func exactly(v float64) bar { return bar{Min: &v, Max: &v} }

// ciSlack is how much slower a machine may be at scale ci: nobody knows who shares it. What is far slower than that has
// a reason in the code.
const ciSlack = 5

// atRate bars a speed.
func (s *site) atRate(v float64) bar {
	if s.ci() {
		return atLeast(v / ciSlack).aiming(v)
	}
	return atLeast(v)
}

// within bars a time that depends on the speed of the machine.
func (s *site) within(v float64) bar {
	if s.ci() {
		return atMost(v * ciSlack).aiming(v)
	}
	return atMost(v)
}

func (b bar) aiming(v float64) bar {
	b.Aim = &v
	return b
}

// none: there must be none of these.
func (b bars) none(names ...string) bars {
	for _, name := range names {
		b[name] = atMost(0)
	}
	return b
}

// misses says which bars the figures miss.
func (b bars) misses(f figures) []string {
	var missed []string
	for _, name := range slices.Sorted(maps.Keys(b)) {
		v, measured := f.number(name)
		switch bar := b[name]; {
		case !measured:
			missed = append(missed, name+" was not measured")
		case bar.Min != nil && v < *bar.Min:
			missed = append(missed, fmt.Sprintf("%s is %v, less than %v", name, v, *bar.Min))
		case bar.Max != nil && v > *bar.Max:
			missed = append(missed, fmt.Sprintf("%s is %v, more than %v", name, v, *bar.Max))
		}
	}
	return missed
}

// report is what is told of a row.
type report struct {
	Row      string  `json:"row"`
	Measured figures `json:"measured"`
	Bar      bars    `json:"bar"`
	Pass     bool    `json:"pass"`
	Seconds  float64 `json:"seconds"`
	Seed     uint64  `json:"seed"`
	// Missed says which bars were, Error why it could not be measured.
	Missed []string `json:"missed,omitempty"`
	Error  string   `json:"error,omitempty"`
}

func (r *report) judge(err error) {
	if r.Measured == nil {
		r.Measured = figures{}
	}
	if err != nil {
		r.Error = err.Error()
		return
	}
	if wrong := r.Measured.impossible(); len(wrong) > 0 {
		r.Error = "figures that can't be right: " + strings.Join(wrong, ", ")
		return
	}
	r.Missed = r.Bar.misses(r.Measured)
	r.Pass = len(r.Missed) == 0
}

// why says what a row that failed did not meet.
func (r *report) why() string {
	if r.Error != "" {
		return r.Error
	}
	return strings.Join(r.Missed, "; ")
}

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

// quantile returns the least of the values that the share q of all, above 0 and up to 1, doesn't exceed. There must be one.
func quantile[T cmp.Ordered](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(math.Ceil(q*float64(len(sorted))))-1]
}

// median returns the median of n figures.
func median(n int, of func(i int) float64) float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = of(i)
	}
	slices.Sort(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func milliseconds(d time.Duration) float64 { return round(d.Seconds()*1000, 2) }
