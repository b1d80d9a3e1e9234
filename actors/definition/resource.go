package definition

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/messages"
)

// resource returns a document elsewhere that the definition refers to, and its address; nil after a mistake. Nothing is fetched here:
// whoever deploys the definition has put it behind that.
func (c *compiler) resource(n *node) (content []byte, address string) {
	o := c.object(n, "an external resource", "name", "endpoint")
	v := o.required("endpoint")
	if v != nil && v.kind == objectKind {
		e := c.object(v, "the property \"endpoint\"", "uri", "authentication")
		if a := e.get("authentication"); a != nil {
			c.atf(a, "what a definition refers to is fetched when it is deployed, without secrets: fetch it yourself, and deploy with "+
				"--resource ADDRESS=FILE")
		}
		v = e.required("uri")
	}
	if v == nil || !c.isString(v, "endpoint") {
		return nil, ""
	}
	if !absoluteURI.MatchString(v.text) || v.isExpression() {
		c.atf(v, "the address of a resource must be a URI such as \"https://example.com/openapi.json\", and is fetched when the definition is "+
			"deployed, but is %s", v.describe())
		return nil, ""
	}
	content, has := c.resources[v.text]
	if !has {
		c.atf(v, "the resource %s has to be deployed with the definition: \"holdfast definition deploy\" fetches it, or takes it from "+
			"--resource %s=FILE", shorten(v.text, 200), messages.Clip(v.text, 200))
		c.list[len(c.list)-1].Resource = v.text
		return nil, ""
	}
	return content, v.text
}

// outside is a value in a resource. What is wrong there is told where the definition refers to it.
type outside struct{ value any }

// get returns a property, following references within the resource.
func (o outside) get(root any, name string) outside {
	object, _ := o.deref(root).value.(map[string]any)
	return outside{object[name]}.deref(root)
}

// text is a string; "" if it is none.
func (o outside) text() string {
	s, _ := o.value.(string)
	return s
}

// list are the elements of a list.
func (o outside) list(root any) []outside {
	items, _ := o.value.([]any)
	all := make([]outside, 0, len(items))
	for _, item := range items {
		all = append(all, outside{item}.deref(root))
	}
	return all
}

// lookUp returns what a reference within a resource leads to.
func lookUp(root any, reference string) outside {
	pointer, within := strings.CutPrefix(reference, "#")
	if text, err := url.PathUnescape(pointer); err == nil {
		pointer = text
	}
	if !within || pointer != "" && pointer[0] != '/' {
		return outside{}
	}
	v := root
	for _, step := range strings.Split(pointer, "/")[1:] {
		step = pointerUnescaper.Replace(step)
		switch in := v.(type) {
		case map[string]any:
			v = in[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(in) {
				return outside{}
			}
			v = in[i]
		default:
			return outside{}
		}
	}
	return outside{value: v}
}

var pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")

// maxReferences is how many references are followed to get to a value.
const maxReferences = 20

// deref follows a JSON reference.
func (o outside) deref(root any) outside {
	for range maxReferences {
		object, _ := o.value.(map[string]any)
		pointer, is := object["$ref"].(string)
		if !is {
			return o
		}
		o = lookUp(root, pointer)
	}
	return outside{}
}
