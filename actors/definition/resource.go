package definition

import (
	"net/url"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-run/holdfast/messages"
)

// resource returns a document elsewhere that the definition refers to, and its address, "" after a mistake. Nothing is fetched here:
// whoever deploys the definition has put it behind that.
func (c *compiler) resource(n *node) (content []byte, address string) {
	o := c.object(n, "an external resource", "name", "endpoint")
	c.isText(o.get("name"))
	if address = c.addressOf(o.required("endpoint")); address == "" {
		return nil, ""
	}
	content, has := c.fetched(n.get("endpoint"), address)
	if !has {
		return nil, ""
	}
	return content, address
}

// addressOf returns the address that an endpoint has of what is fetched when a definition is deployed; "" after a mistake.
func (c *compiler) addressOf(v *node) string {
	if v != nil && v.kind == objectKind {
		e := c.object(v, "the property \"endpoint\"", "uri", "authentication")
		if a := e.get("authentication"); a != nil {
			c.atf(a, "what a definition refers to is fetched when it is deployed, without secrets: fetch it yourself, and deploy with "+
				"--resource ADDRESS=FILE")
		}
		v = e.required("uri")
	}
	if v == nil || !c.isString(v, "endpoint") {
		return ""
	}
	if !absoluteURI.MatchString(v.text) || v.isExpression() {
		c.atf(v, "the address of a resource must be a URI such as \"https://example.com/openapi.json\", and is fetched when the definition is "+
			"deployed, but is %s", v.describe())
		return ""
	}
	return v.text
}

// fetched returns what n refers to by an address. It tells whether it is there: that it is not is a mistake.
func (c *compiler) fetched(n *node, address string) (content []byte, has bool) {
	content, has = c.resources[address]
	if !has {
		if uri := n.get("uri"); uri != nil {
			n = uri
		}
		before := len(c.list)
		c.atf(n, "the resource %s has to be deployed with the definition: \"holdfast definition deploy\" fetches it, or takes it from "+
			"--resource %s=FILE", shorten(address, 200), messages.Clip(address, 200))
		if len(c.list) > before { // else it was told there before, or there are too many mistakes
			c.list[before].Resource = address
		}
	}
	return content, has
}

// elsewhere says of the nodes of a resource where the definition refers to it.
type elsewhere struct {
	from    *node
	address string
}

// readResource reads a resource into nodes; nil after a mistake. What is wrong in it is told where n refers to it first.
func (c *compiler) readResource(n *node, content []byte, address string) *node {
	if root, read := c.read[address]; read {
		return root
	}
	var m mistakes
	root := m.parse(content, c.limits)
	for _, wrong := range m.list {
		c.atf(n, "%s (line %d of %s)", wrong.GetMessage(), wrong.GetLine(), shorten(address, 200))
	}
	if root != nil {
		root.elsewhere = &elsewhere{n, address}
	}
	c.read[address] = root
	return root
}

// open reads a resource that is JSON or YAML, as its author may write it; false after a mistake.
func (c *compiler) open(at *node, content []byte, address string) (root any, ok bool) {
	root, read := c.opened[address]
	if read {
		return root, true
	}
	if err := yaml.Unmarshal(content, &root); err != nil { // JSON is YAML, too
		c.atf(at, "the resource %s is neither JSON nor YAML", shorten(address, 200))
		return nil, false
	}
	c.opened[address] = root
	return root, true
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

// names are the names of an object's properties, in the order of the alphabet.
func (o outside) names() []string {
	object, _ := o.value.(map[string]any)
	return sortedNames(object)
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
		step = messages.UnescapePointer(step)
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
