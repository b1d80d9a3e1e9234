package definition

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/itchyny/gojq"
)

// maxPattern is the size of the largest regular expression, in instructions.
const maxPattern = 10_000

// maxPatterns is how many regular expressions a definition keeps compiled.
const maxPatterns = 256

// patterns keeps regular expressions compiled. Patterns may come out of data, so there is a bound: when it is reached
// all are forgotten. It is safe for concurrent use.
type patterns struct {
	mu       sync.Mutex
	compiled map[string]*pattern
}

// pattern is a compiled regular expression and its size in instructions.
type pattern struct {
	re   *regexp.Regexp
	size int
}

func newPatterns() *patterns { return &patterns{compiled: make(map[string]*pattern)} }

func (p *patterns) get(text string) (*pattern, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.compiled[text]; ok {
		return c, nil
	}
	c, err := compilePattern(text)
	if err != nil {
		return nil, err
	}
	if len(p.compiled) >= maxPatterns {
		clear(p.compiled)
	}
	p.compiled[text] = c
	return c, nil
}

// compilePattern compiles a regular expression unless it is too large.
func compilePattern(text string) (*pattern, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("the regular expression has more than %d bytes: shorten it", maxPattern)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("the regular expression %s is wrong: %w", shorten(text, 60), err)
	}
	size := patternSize(parsed)
	if size > maxPattern {
		return nil, fmt.Errorf("the regular expression %s is too large: repeat less", shorten(text, 60))
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("the regular expression %s is wrong: %w", shorten(text, 60), err)
	}
	return &pattern{re, size}, nil
}

// patternSize estimates the instructions of a regular expression, repetitions written out.
func patternSize(re *syntax.Regexp) int {
	size := 2 + len(re.Rune)
	for _, sub := range re.Sub {
		size = min(size+patternSize(sub), 2*maxPattern)
	}
	if re.Op == syntax.OpRepeat {
		size = min(size*max(1, re.Min, re.Max), 2*maxPattern)
	}
	return size
}

// What a match takes in memory, in bytes, about: with it, and for each group.
const (
	matchSize = 640
	groupSize = 480
)

// find runs a regular expression over a string. It returns what matched as pairs of offsets, as package regexp does.
func (b *budget) find(in, re, flags any) (s string, p *pattern, found [][]int, err error) {
	s, ok1 := in.(string)
	text, ok2 := re.(string)
	if !ok1 || !ok2 {
		return "", nil, nil, fmt.Errorf("can't match %s with the regular expression %s: strings were expected",
			gojq.Preview(in), gojq.Preview(re))
	}
	if len(text) > maxPattern {
		return "", nil, nil, fmt.Errorf("the regular expression has more than %d bytes: shorten it", maxPattern)
	}
	limit := 1
	switch flags := flags.(type) {
	case nil:
	case string:
		if strings.Trim(flags, "gim") != "" {
			return "", nil, nil, fmt.Errorf("the flags %s are not supported: there are g, i and m", shorten(flags, 20))
		}
		if strings.Contains(flags, "i") {
			text = "(?i)" + text
		}
		if strings.Contains(flags, "m") {
			text = "(?s)" + text
		}
		if strings.Contains(flags, "g") {
			limit = -1
		}
	default:
		return "", nil, nil, fmt.Errorf("the flags of a regular expression must be a string, but are %s",
			gojq.Preview(flags))
	}
	b.charge(propertySize * int64(len(text))) // to compile it
	if p, err = b.programs.patterns.get(text); err != nil {
		return "", nil, nil, err
	}
	if !b.charge(int64(len(s)) * int64(1+p.size/16)) {
		return s, p, nil, nil
	}
	each := int64(matchSize + groupSize*p.re.NumSubexp())
	if limit < 0 {
		limit = int(b.memory/each) + 1
	}
	found = p.re.FindAllStringSubmatchIndex(s, limit)
	b.charge(each * int64(len(found)))
	return s, p, found, nil
}

func (b *budget) test(in, re, flags any) any {
	if f, ok := flags.(string); ok {
		flags = strings.ReplaceAll(f, "g", "")
	}
	_, _, found, err := b.find(in, re, flags)
	if err != nil {
		return err
	}
	return len(found) > 0
}

// match returns all matches, as jq describes them.
func (b *budget) match(in, re, flags any) any {
	s, p, found, err := b.find(in, re, flags)
	if err != nil {
		return err
	}
	names := p.re.SubexpNames()
	matches := make([]any, len(found))
	at, runes := 0, 0 // matches follow one another: count characters once
	for i, m := range found {
		runes += utf8.RuneCountInString(s[at:m[0]])
		at = m[0]
		captures := make([]any, 0, len(m)/2-1)
		for g := 1; g < len(m)/2; g++ {
			captures = append(captures, capture(s, m[0], runes, m[2*g], m[2*g+1], names[g]))
		}
		matches[i] = map[string]any{
			"offset": runes, "length": utf8.RuneCountInString(s[m[0]:m[1]]), "string": s[m[0]:m[1]], "captures": captures,
		}
	}
	return matches
}

// capture describes what a group matched. The match begins at a byte that is a number of characters into s.
func capture(s string, matchAt, runes, start, end int, name string) map[string]any {
	var label any
	if name != "" {
		label = name
	}
	if start < 0 {
		return map[string]any{"name": label, "offset": -1, "length": 0, "string": nil}
	}
	return map[string]any{
		"name":   label,
		"offset": runes + utf8.RuneCountInString(s[matchAt:start]),
		"length": utf8.RuneCountInString(s[start:end]),
		"string": s[start:end],
	}
}

// pieces returns what stands between the matches, and before and after them.
func (b *budget) pieces(in, re, flags any) any {
	s, _, found, err := b.find(in, re, flags)
	if err != nil {
		return err
	}
	pieces := make([]any, 0, len(found)+1)
	at := 0
	for _, m := range found {
		pieces = append(pieces, s[at:m[0]])
		at = m[1]
	}
	return append(pieces, s[at:])
}
