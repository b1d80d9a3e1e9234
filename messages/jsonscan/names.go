package jsonscan

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/messages"
)

// errNotJSON tells that there is nothing more to be found, for what follows is not JSON.
var errNotJSON = errors.New("is not a JSON value")

// mostDepth is how deep a value may nest for those who don't bound it themselves.
const mostDepth = 10_000

// fewNames is how many names of an object are compared with each other. More are kept in a map.
const fewNames = 16

// twice is a property that stands twice in an object. Its path is that of the object, the innermost step first.
type twice struct {
	name string
	path []string
}

func (e *twice) Error() string {
	return fmt.Sprintf("names the property %q twice%s: name it once", messages.Clip(e.name, MostTold), Place(e.path))
}

// Place tells for a message where a path leads to, the innermost step first: " at /home/0", or nothing for the whole value.
func Place(path []string) string {
	if len(path) == 0 {
		return ""
	}
	var at strings.Builder
	for _, step := range slices.Backward(path) {
		at.WriteString("/" + escaper.Replace(step))
	}
	return " at " + messages.Clip(at.String(), MostTold)
}

// escaper makes a step of a JSON pointer.
var escaper = strings.NewReplacer("~", "~0", "/", "~1")

// MostTold is how many bytes of a name, a place or a text go into a message.
const MostTold = 200

// CheckNames says which property stands twice in an object somewhere in a JSON value, if one does. Names are equal if
// they decode to the same text, however they are escaped. What is not JSON is for others to complain about.
func CheckNames(data []byte) error { return Check(data, mostDepth) }

// Check is CheckNames for a value that nests objects and lists at most so many deep. One that nests deeper is refused, too.
func Check(data []byte, maxDepth int) error {
	if bytes.IndexByte(data, '{') < 0 && bytes.IndexByte(data, '[') < 0 {
		return nil
	}
	c := checker{Scanner: Scanner{Data: data}, maxDepth: maxDepth, names: make([][]byte, 0, fewNames/2)}
	c.Space()
	if err := c.value(1); !errors.Is(err, errNotJSON) {
		return err
	}
	return nil
}

type checker struct {
	Scanner

	maxDepth int
	// names are those of the objects around, each as it stands in the value, without its quotes.
	names [][]byte
}

// value checks the next value. An object or list is nested depth deep, the outermost 1.
func (c *checker) value(depth int) error {
	first := c.Peek()
	if (first == '{' || first == '[') && depth > c.maxDepth {
		return fmt.Errorf("is nested deeper than the limit of %d", c.maxDepth) //nolint:err113 // for people
	}
	switch first {
	case '{':
		return c.object(depth)
	case '[':
		return c.list(depth)
	}
	if !c.Skip() {
		return errNotJSON
	}
	return nil
}

func (c *checker) list(depth int) error {
	c.Begin()
	for i := 0; c.More(']'); i++ {
		if err := c.value(depth + 1); err != nil {
			return inside(err, strconv.Itoa(i))
		}
	}
	return nil
}

func (c *checker) object(depth int) error {
	first := len(c.names)
	var many map[string]struct{}
	c.Begin()
	for c.More('}') {
		quoted, ok := c.Name()
		if !ok {
			return errNotJSON
		}
		name := quoted[1 : len(quoted)-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			decoded, ok := Unquote(quoted)
			if !ok {
				return errNotJSON
			}
			name = []byte(decoded)
		}
		if many == nil && len(c.names)-first == fewNames {
			many = make(map[string]struct{}, 4*fewNames)
			for _, n := range c.names[first:] {
				many[string(n)] = struct{}{}
			}
		}
		if c.seen(first, many, name) {
			return &twice{name: string(name)}
		}
		if err := c.value(depth + 1); err != nil {
			return inside(err, string(name))
		}
	}
	c.names = c.names[:first]
	return nil
}

// seen tells whether the object has the name already, and notes it.
func (c *checker) seen(first int, many map[string]struct{}, name []byte) bool {
	if many != nil {
		if _, ok := many[string(name)]; ok {
			return true
		}
		many[string(name)] = struct{}{}
		return false
	}
	for _, n := range c.names[first:] {
		if bytes.Equal(n, name) {
			return true
		}
	}
	c.names = append(c.names, name)
	return false
}

// inside adds a step to the path of what stands twice.
func inside(err error, step string) error {
	if t, ok := errors.AsType[*twice](err); ok {
		t.path = append(t.path, step)
	}
	return err
}
