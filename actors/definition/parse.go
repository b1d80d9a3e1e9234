package definition

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxDigits is the length of the longest number, in a document and in data that expressions work on.
const maxDigits = 1000

const tooDeep = "objects and lists nest more than %d deep: flatten the document"

// parse reads a document, YAML or JSON, into nodes; nil if it can't be read.
func (m *mistakes) parse(document []byte, limits Limits) *node {
	document = bytes.TrimPrefix(document, []byte("\xEF\xBB\xBF"))
	src := newSource(document)
	m.lines = len(src.lines)
	if bad := invalidUTF8(document); bad >= 0 {
		line, column := src.place(bad)
		m.add(line, column, "", fmt.Sprintf("the byte %#02x is not UTF-8: save the document as UTF-8", document[bad]))
		return nil
	}
	var root *node
	if json.Valid(document) {
		root = m.parseJSON(src, limits.Depth)
	} else {
		root = m.parseYAML(src, limits.Depth)
	}
	if root == nil || len(m.list) > 0 || !m.checkNames(root) {
		return nil
	}
	return root
}

func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// source is a document with its lines. It remembers the last place that it was asked for: asked in the order of the
// document, it goes through each line once.
type source struct {
	text  []byte
	lines []int // the offset of each line

	line, column, offset int
}

func newSource(text []byte) *source {
	s := &source{text: text, lines: []int{0}}
	for i := 0; i < len(text); {
		size := lineBreak(text[i:])
		if i += max(size, 1); size > 0 {
			s.lines = append(s.lines, i)
		}
	}
	return s
}

// lineBreak returns the length of the line break that text begins with, as YAML sees it, 0 if it begins with none.
func lineBreak(text []byte) int {
	switch text[0] {
	case '\n':
		return 1
	case '\r':
		if len(text) > 1 && text[1] == '\n' {
			return 2
		}
		return 1
	case 0xC2, 0xE2:
		if r, size := utf8.DecodeRune(text); r == '\u0085' || r == '\u2028' || r == '\u2029' {
			return size
		}
	}
	return 0
}

// place returns the line and column of an offset.
func (s *source) place(offset int) (line, column int) {
	i, found := slices.BinarySearch(s.lines, offset)
	if !found {
		i--
	}
	if s.line != i+1 || s.offset > offset {
		s.line, s.column, s.offset = i+1, 1, s.lines[i]
	}
	s.column += utf8.RuneCount(s.text[s.offset:offset])
	s.offset = offset
	return s.line, s.column
}

// stands tells whether text stands at a place of the document.
func (s *source) stands(text string, line, column int) bool {
	if line < 1 || line > len(s.lines) || column < 1 || text == "" {
		return false
	}
	if s.line != line || s.column > column {
		s.line, s.column, s.offset = line, 1, s.lines[line-1]
	}
	for s.column < column {
		_, size := utf8.DecodeRune(s.text[s.offset:])
		s.column, s.offset = s.column+1, s.offset+size
	}
	return bytes.HasPrefix(s.text[s.offset:], []byte(text))
}

// parseJSON reads what is known to be valid JSON.
func (m *mistakes) parseJSON(src *source, depth int) *node {
	p := &jsonParser{m: m, src: src, d: json.NewDecoder(bytes.NewReader(src.text)), depth: depth}
	p.d.UseNumber()
	return p.value(1)
}

type jsonParser struct {
	m     *mistakes
	src   *source
	d     *json.Decoder
	depth int
}

// token returns the next token and where it begins.
func (p *jsonParser) token() (tok json.Token, line, column int) {
	at := int(p.d.InputOffset())
	for at < len(p.src.text) && strings.IndexByte(" \t\r\n,:", p.src.text[at]) >= 0 {
		at++
	}
	line, column = p.src.place(at)
	tok, err := p.d.Token()
	if err != nil {
		p.m.add(line, column, "", fmt.Sprintf("the document is not valid JSON: %v", err))
	}
	return tok, line, column
}

// value reads a value; nil after a mistake.
func (p *jsonParser) value(depth int) *node {
	tok, line, column := p.token()
	n := &node{line: line, column: column}
	switch tok := tok.(type) {
	case json.Delim:
		if depth > p.depth {
			p.m.add(line, column, "", fmt.Sprintf(tooDeep, p.depth))
			return nil
		}
		n.kind = listKind
		if tok == '{' {
			n.kind = objectKind
		}
		for p.d.More() {
			if n.kind == objectKind {
				name, line, column := p.token()
				text, _ := name.(string)
				if !p.m.addKey(n, key{text, line, column}) {
					return nil
				}
			}
			child := p.value(depth + 1)
			if child == nil {
				return nil
			}
			n.add(child)
		}
		p.token()
	case string:
		n.kind, n.text = stringKind, tok
		if p.src.stands(tok, line, column+1) {
			n.inner = column + 1
		}
	case json.Number:
		n.kind, n.text = numberKind, tok.String()
		p.m.checkNumber(n)
	case bool:
		n.kind, n.text = boolKind, strconv.FormatBool(tok)
	case nil:
		n.kind, n.text = nullKind, "null"
	}
	return n
}

func (m *mistakes) addKey(n *node, k key) bool {
	if len(k.name) > maxName {
		m.add(k.line, k.column, "", fmt.Sprintf("the name of this property has more than %d bytes: shorten it", maxName))
		return false
	}
	n.keys = append(n.keys, k)
	return true
}

// checkNumber notes what is wrong with a number. All of a document are looked at, so that each is told.
func (m *mistakes) checkNumber(n *node) {
	if len(n.text) > maxDigits {
		m.add(n.line, n.column, "", fmt.Sprintf("the number has more than %d digits: make it a string", maxDigits))
		return
	}
	if m.stored && !isNumber(n.text) {
		n.text = formerNumber(n.text)
	}
	f, err := strconv.ParseFloat(n.text, 64)
	if !isNumber(n.text) || !m.stored && (err != nil || math.IsInf(f, 0)) {
		m.notNumber(n)
	}
}

// formerNumber writes a number that only YAML knows as it was once kept.
func formerNumber(text string) string {
	text = strings.ReplaceAll(text, "_", "")
	if i, err := strconv.ParseInt(text, 0, 64); err == nil {
		return strconv.FormatInt(i, 10)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return text // was never taken
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

func (m *mistakes) parseYAML(src *source, depth int) *node {
	d := yaml.NewDecoder(bytes.NewReader(src.text))
	var doc yaml.Node
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			m.empty()
			return nil
		}
		m.notYAML(err)
		return nil
	}
	var more yaml.Node
	if err := d.Decode(&more); err == nil {
		advice := "deploy each definition by itself"
		if m.wanted != "" {
			advice = "put it into a file of its own"
		}
		m.add(more.Line, more.Column, "", "there is a second YAML document: "+advice)
		return nil
	} else if !errors.Is(err, io.EOF) {
		m.notYAML(err)
		return nil
	}
	p := &yamlParser{m: m, src: src, depth: depth}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		m.empty()
		return nil
	}
	return p.value(doc.Content[0], 1)
}

func (m *mistakes) empty() {
	m.add(1, 1, "", "the document is empty: give "+cmp.Or(m.wanted, "a workflow definition"))
}

func (m *mistakes) notYAML(err error) {
	line := 0
	if found := yamlLine.FindStringSubmatch(err.Error()); found != nil {
		line, _ = strconv.Atoi(found[1])
	}
	m.add(line, min(line, 1), "", fmt.Sprintf("the document is neither JSON nor YAML: %s",
		shorten(strings.TrimPrefix(err.Error(), "yaml: "), 200)))
}

type yamlParser struct {
	m     *mistakes
	src   *source
	depth int
}

// value converts a YAML node; nil after a mistake.
func (p *yamlParser) value(y *yaml.Node, depth int) *node {
	fail := func(format string, args ...any) *node {
		p.m.add(y.Line, y.Column, "", fmt.Sprintf(format, args...))
		return nil
	}
	if depth > p.depth && y.Kind != yaml.ScalarNode {
		return fail(tooDeep, p.depth)
	}
	if y.Kind == yaml.AliasNode || y.Anchor != "" {
		return fail("YAML anchors and aliases are refused: repeat the value, or use the reusable components of \"use\"")
	}
	if y.Style&yaml.TaggedStyle != 0 && !p.m.stored {
		return fail("the YAML tag %s is refused: remove it", shorten(y.ShortTag(), 40))
	}
	n := &node{line: y.Line, column: y.Column}
	switch y.Kind {
	case yaml.MappingNode:
		n.kind = objectKind
		for i := 0; i+1 < len(y.Content); i += 2 {
			if !p.property(n, y.Content[i], y.Content[i+1], depth) {
				return nil
			}
		}
	case yaml.SequenceNode:
		n.kind = listKind
		for _, item := range y.Content {
			child := p.value(item, depth+1)
			if child == nil {
				return nil
			}
			n.add(child)
		}
	case yaml.ScalarNode:
		return p.scalar(n, y)
	default:
		return fail("this part of the document can't be read: write plain YAML")
	}
	return n
}

func (p *yamlParser) property(n *node, k, v *yaml.Node, depth int) bool {
	if k.Value == "<<" && k.ShortTag() == "!!merge" {
		p.m.add(k.Line, k.Column, "", "there are no YAML merge keys (<<): write the properties out, or use the reusable components of \"use\"")
		return false
	}
	if k.Kind != yaml.ScalarNode || k.Anchor != "" || k.Style&yaml.TaggedStyle != 0 && !p.m.stored || k.ShortTag() != "!!str" {
		p.m.add(k.Line, k.Column, "", fmt.Sprintf("the name of a property must be a string: put it in quotes, such as %s",
			shorten(cmp.Or(k.Value, "name"), 40)))
		return false
	}
	if !p.m.addKey(n, key{k.Value, k.Line, k.Column}) {
		return false
	}
	child := p.value(v, depth+1)
	if child == nil {
		return false
	}
	n.add(child)
	return true
}

func (p *yamlParser) scalar(n *node, y *yaml.Node) *node {
	n.text = y.Value
	switch tag := y.ShortTag(); tag {
	case "!!str", "!!timestamp":
		n.kind = stringKind
		inner := y.Column
		if y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			inner++
		}
		if p.src.stands(y.Value, y.Line, inner) {
			n.inner = inner
		}
		if y.Style == 0 && !p.m.stored && yamlNumber.MatchString(y.Value) {
			p.m.notNumber(n)
		}
	case "!!bool":
		n.kind, n.text = boolKind, strings.ToLower(y.Value)
	case "!!null":
		n.kind, n.text = nullKind, "null"
	case "!!int", "!!float":
		n.kind = numberKind
		p.m.checkNumber(n)
	default:
		p.m.add(y.Line, y.Column, "", fmt.Sprintf("the YAML tag %s is refused: remove it", shorten(tag, 40)))
		return nil
	}
	return n
}

// yamlNumber matches what YAML takes for a number, also where it is too large for the parser, which then takes it for text.
var yamlNumber = regexp.MustCompile(
	`^[-+]?(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9_]+)?)$`)

// notNumber notes that a number is refused, and why: only what is written as JSON does stays as it is written. An id or a
// telephone number would become another one.
func (m *mistakes) notNumber(n *node) {
	digits := strings.TrimLeft(n.text, "+-")
	why := "would not stay as it is written: put it in quotes to make it a string, or write the number as JSON does, in " +
		"decimal digits without plus sign or underscore"
	switch {
	case strings.Trim(strings.ToLower(digits), ".infa") == "":
		why = "can't be written in JSON: give a finite decimal number"
	case isNumber(n.text):
		why = "is too large to calculate with: put it in quotes to make it a string"
	case len(digits) > 1 && digits[0] == '0' && '0' <= digits[1] && digits[1] <= '9':
		why = "has a leading zero: drop it, or put the number in quotes to make it a string"
	}
	m.add(n.line, n.column, "", fmt.Sprintf("the number %s %s", shorten(n.text, 40), why))
}
