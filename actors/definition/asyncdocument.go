package definition

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-run/holdfast/messages"
)

// asyncDocument is a document of AsyncAPI, 2 or 3, as it is read for a call.
type asyncDocument struct {
	c *compiler
	// at is where the call refers to the document.
	at      *node
	address string
	content []byte
	root    any
	top     outside
	version string
	// lost is a reference that was followed, and leads to nothing in the document; "" if none does.
	lost string
	// failed: something is wrong.
	failed bool
}

var asyncVersion = regexp.MustCompile(`^[23]\.\d{1,4}\.\d{1,4}(?:-[0-9A-Za-z.-]{1,40})?$`)

// asyncOperation finds how the message of a call is sent; nil after a mistake.
func (c *compiler) asyncOperation(m *sending) *asyncOperation {
	content, address := c.resource(m.document)
	if address == "" {
		return nil
	}
	root, ok := c.open(m.document, content, address)
	if !ok {
		return nil
	}
	d := &asyncDocument{c: c, at: m.document, address: address, content: content, root: root, top: outside{root}}
	if d.version = d.get(d.top, "asyncapi").text(); !asyncVersion.MatchString(d.version) {
		c.atf(m.document, "the resource %s is no document of AsyncAPI, 2 or 3", shorten(address, 200))
		return nil
	}
	var f *asyncOperation
	if op, channel, path := d.find(m.name); !d.failed {
		f = d.operation(op, channel, path, m)
	}
	if d.lost != "" {
		c.atf(m.document, "the resource %s refers to %s, which is not in it: put all that it refers to into one document, as "+
			"\"asyncapi bundle\" does", shorten(address, 200), shorten(d.lost, 100))
	}
	if d.failed || d.lost != "" {
		return nil
	}
	return f
}

// second tells whether the document is one of AsyncAPI 2.
func (d *asyncDocument) second() bool { return d.version[0] == '2' }

// atf adds a mistake, unless what the document lacks explains it.
func (d *asyncDocument) atf(n *node, format string, args ...any) {
	d.failed = true
	if d.lost == "" {
		d.c.atf(n, format, args...)
	}
}

// unusablef says why a channel or operation can't be called.
func (d *asyncDocument) unusablef(n *node, format string, args ...any) {
	d.atf(n, "the %s %s can't be called: %s", n.name, shorten(n.text, 60), fmt.Sprintf(format, args...))
}

// follow returns a value, or if it is a reference what that leads to.
func (d *asyncDocument) follow(v any) outside {
	found := outside{v}.deref(d.root)
	if part, is := v.(map[string]any); is && found.value == nil && d.lost == "" {
		d.lost, _ = part["$ref"].(string)
	}
	return found
}

// get returns a property.
func (d *asyncDocument) get(o outside, name string) outside {
	object, _ := o.value.(map[string]any)
	return d.follow(object[name])
}

// list returns the elements of a list.
func (d *asyncDocument) list(o outside) (all []outside) {
	items, _ := o.value.([]any)
	for _, item := range items {
		all = append(all, d.follow(item))
	}
	return all
}

// given returns what a path leads to in an operation or a message, or else in the last of its traits that has it.
func (d *asyncDocument) given(o outside, path ...string) outside {
	traits := d.list(d.get(o, "traits"))
	slices.Reverse(traits)
	for _, found := range append([]outside{o}, traits...) {
		for _, name := range path {
			found = d.get(found, name)
		}
		if found.value != nil {
			return found
		}
	}
	return outside{}
}

// find finds the operation that a call names, its channel, and the address of that. Only those operations count by which the application
// takes messages.
func (d *asyncDocument) find(name *node) (op, channel outside, address string) {
	channels := d.get(d.top, "channels")
	switch {
	case d.second() && name.name == "operation":
		d.atf(name, "the document is one of AsyncAPI %s, where channels are called: write \"channel\" in place of \"operation\": %s", d.version,
			hint(name.text, d.publishing(channels, name.text), "it has none with the operation \"publish\""))
		return outside{}, outside{}, ""
	case d.second():
		if channel = d.get(channels, name.text); channel.value == nil {
			d.atf(name, "there is no channel %s in the resource: %s", shorten(name.text, 60), hint(name.text, channels.names(), "it has none"))
		} else if op = d.get(channel, "publish"); op.value == nil {
			d.atf(name, "the channel %s has no operation \"publish\", so the application that the document describes takes no messages there: "+
				"call another one, or use \"listen\" for what is sent there", shorten(name.text, 60))
		}
		return op, channel, name.text
	}
	operations := d.get(d.top, "operations")
	if name.name == "channel" {
		d.atf(name, "the document is one of AsyncAPI %s, where operations are called: write \"operation\" in place of \"channel\": %s",
			d.version, hint(name.text, operations.names(), "it has none"))
		return outside{}, outside{}, ""
	}
	if op = d.get(operations, name.text); op.value == nil {
		d.atf(name, "there is no operation %s in the resource: %s", shorten(name.text, 60), hint(name.text, operations.names(), "it has none"))
	} else if action := d.get(op, "action").text(); action != "receive" {
		d.atf(name, "the operation %s has the action %s and not \"receive\", so the application that the document describes takes no "+
			"messages by it: call another one, or use \"listen\" for what is sent", shorten(name.text, 60), shorten(action, 40))
	}
	channel = d.get(op, "channel")
	return op, channel, d.get(channel, "address").text()
}

// publishing are the channels that can be called, or the one alone whose operation has an id.
func (d *asyncDocument) publishing(channels outside, id string) (names []string) {
	for _, name := range channels.names() {
		op := d.get(d.get(channels, name), "publish")
		if id != "" && d.get(op, "operationId").text() == id {
			return []string{name}
		}
		if op.value != nil {
			names = append(names, name)
		}
	}
	return names
}

// asyncMethods are those that the binding of HTTP knows, without CONNECT, which sends nothing.
var asyncMethods = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"}

// operation reads how a message is sent.
func (d *asyncDocument) operation(op, channel outside, address string, m *sending) *asyncOperation {
	f := &asyncOperation{method: strings.ToUpper(cmp.Or(d.given(op, "bindings", "http", "method").text(), "POST"))}
	switch {
	case !slices.Contains(asyncMethods, f.method):
		d.unusablef(m.name, "its method is %s, and must be one of %s", shorten(f.method, 40), quoted(asyncMethods))
	case d.given(op, "bindings", "http", "type").text() == "response":
		d.unusablef(m.name, "its messages are answers to requests")
	case address == "":
		d.unusablef(m.name, "it has no address")
	case strings.ContainsAny(address, "?#"):
		d.unusablef(m.name, "its address has a query or a fragment, which belong into the binding")
	}
	base := d.server(m, channel, f)
	f.uri = strings.TrimSuffix(base, "/") + "/" + strings.TrimPrefix(address, "/")
	d.parameters(address, d.get(channel, "parameters"), m, f)
	if !d.failed {
		filled := f.uri
		for _, p := range f.placed {
			filled = strings.ReplaceAll(filled, "{"+p.name+"}", "1")
		}
		u, err := url.Parse(filled)
		if err == nil {
			_, err = checkServer(u)
		}
		if err != nil {
			d.atf(m.name, "the resource %s does not say where messages are sent: %v", shorten(d.address, 200), err)
		}
	}
	d.messages(op, channel, f)
	d.query(op, f)
	if !d.failed {
		d.check(f, m)
	}
	return f
}

// asyncServer is a server at which a channel is.
type asyncServer struct {
	name string
	of   outside
}

// servers are those at which a channel is, in the order in which they are named.
func (d *asyncDocument) servers(channel outside) (all []asyncServer) {
	servers := d.get(d.top, "servers")
	object, _ := channel.value.(map[string]any)
	listed, _ := object["servers"].([]any)
	for _, v := range listed {
		name, is := v.(string) // so in AsyncAPI 2
		if is {
			v = outside{servers.value}.get(d.root, name).value
		} else if reference, is := v.(map[string]any); is {
			pointer, _ := reference["$ref"].(string)
			name = messages.UnescapePointer(pointer[strings.LastIndexByte(pointer, '/')+1:])
		}
		all = append(all, asyncServer{name, d.follow(v)})
	}
	if len(listed) == 0 {
		for _, name := range d.inOrder(servers.names()) {
			all = append(all, asyncServer{name, d.get(servers, name)})
		}
	}
	return slices.DeleteFunc(all, func(s asyncServer) bool { return s.of.value == nil })
}

// inOrder returns the names of the servers in the order of the document, which a decoded object does not have.
func (d *asyncDocument) inOrder(names []string) []string {
	var top struct {
		Servers yaml.Node `yaml:"servers"`
	}
	if yaml.Unmarshal(d.content, &top) != nil || top.Servers.Kind != yaml.MappingNode {
		return names
	}
	var ordered []string
	for i := 0; i+1 < len(top.Servers.Content); i += 2 {
		ordered = append(ordered, top.Servers.Content[i].Value)
	}
	if len(ordered) != len(names) {
		return names
	}
	return ordered
}

// server finds the server that a message is sent to, and returns how its address begins; "" after a mistake.
func (d *asyncDocument) server(m *sending, channel outside, f *asyncOperation) string {
	known, at := d.servers(channel), m.name
	if m.server != nil {
		at = m.server
		var names []string
		for _, s := range known {
			names = append(names, s.name)
		}
		i := slices.Index(names, at.text)
		if i < 0 {
			d.atf(at, "there is no server %s in the resource where the channel is: %s", shorten(at.text, 60), hint(at.text, names, "it names none"))
			return ""
		}
		known = known[i : i+1]
	}
	if len(known) == 0 {
		d.unusablef(at, "the resource %s does not name a server", shorten(d.address, 200))
		return ""
	}
	for _, s := range known {
		if p := strings.ToLower(d.get(s.of, "protocol").text()); p == "http" || p == "https" {
			return d.base(s, p, m, f)
		}
	}
	d.atf(at, "the protocol of the server %s is %s, "+noBroker, shorten(known[0].name, 60), shorten(d.get(known[0].of, "protocol").text(), 40))
	return ""
}

// base returns the address of a server. What stands for variables in it is added to what is placed.
func (d *asyncDocument) base(s asyncServer, protocol string, m *sending, f *asyncOperation) string {
	text := d.get(s.of, "url").text()
	if !d.second() {
		text = d.get(s.of, "host").text()
		if path := d.get(s.of, "pathname").text(); path != "" {
			text += "/" + strings.TrimPrefix(path, "/")
		}
	}
	switch from, err := url.Parse(d.address); {
	case strings.HasPrefix(text, "//"):
		text = protocol + ":" + text
	case strings.HasPrefix(text, "/") && err == nil:
		text = from.Scheme + "://" + from.Host + text
	case !strings.Contains(text, "://"):
		text = protocol + "://" + text
	}
	var names []string
	for _, found := range pathName.FindAllStringSubmatch(text, -1) {
		if name := found[1]; !slices.Contains(names, name) {
			names = append(names, name)
			text = strings.ReplaceAll(text, found[0], d.variable(s, name, m, f))
		}
	}
	if m.variables.ok {
		for _, k := range m.variables.n.keys {
			if !slices.Contains(names, k.name) {
				d.failed = true
				d.c.atKeyf(m.variables.n, k, "the address of the server %s has no variable %s: %s", shorten(s.name, 60), shorten(k.name, 60),
					hint(k.name, names, "it has none"))
			}
		}
	}
	return text
}

// variable returns what is written for a variable in the address of a server.
func (d *asyncDocument) variable(s asyncServer, name string, m *sending, f *asyncOperation) string {
	described := d.get(d.get(s.of, "variables"), name)
	given, standard := m.variables.get(name), d.get(described, "default")
	switch {
	case given == nil && standard.value == nil:
		at := cmp.Or(m.variables.n, m.server, m.name)
		d.atf(at, "the address of the server %s needs the variable %s: add it to \"variables\" of \"server\"", shorten(s.name, 60),
			shorten(name, 60))
		return ""
	case given == nil:
		return fmt.Sprint(standard.value)
	case d.c.written(given):
		d.among(given, d.get(described, "enum"))
		return given.text
	}
	f.placed = append(f.placed, placed{name: "server." + name, n: given})
	return "{server." + name + "}"
}

// among checks a value that is written against those that there may be, if these are known.
func (d *asyncDocument) among(n *node, known outside) {
	var texts []string
	for _, v := range d.list(known) {
		texts = append(texts, fmt.Sprint(v.value))
	}
	if len(texts) > 0 && d.c.written(n) && !slices.Contains(texts, n.text) {
		d.atf(n, "%q must be %s, but is %s", n.property(), quoted(texts[:min(len(texts), 12)]), n.describe())
	}
}

// parameters finds what stands for the names in the address of a channel.
func (d *asyncDocument) parameters(address string, described outside, m *sending, f *asyncOperation) {
	for _, found := range pathName.FindAllStringSubmatch(address, -1) {
		p := placed{name: found[1]}
		parameter := d.get(described, p.name)
		switch {
		case parameter.value == nil:
			d.unusablef(m.name, "its address has %s, and no parameter of this name", shorten(found[0], 60))
		case !slices.ContainsFunc(f.placed, func(other placed) bool { return other.name == p.name }):
			f.placed = append(f.placed, d.parameter(p, parameter, m))
		}
	}
}

// parameter finds what stands for a parameter: what is at its location in the message, or else a property of the task's input, or its
// default.
func (d *asyncDocument) parameter(p placed, parameter outside, m *sending) placed {
	values := parameter
	if d.second() {
		values = d.get(parameter, "schema")
	}
	standard := d.get(values, "default")
	if standard.value != nil {
		p.otherwise = fmt.Sprint(standard.value)
	}
	location := d.get(parameter, "location").text()
	source, pointer, _ := strings.Cut(location, "#")
	var in *node
	switch source {
	case "":
		p.input = true
		return p
	case "$message.payload":
		in = m.payload
	case "$message.header":
		in = m.headers.n
	default:
		d.unusablef(m.name, "the location of its parameter %s is %s, and must begin with $message.payload# or $message.header#",
			shorten(p.name, 60), shorten(location, 100))
		return p
	}
	steps := strings.Split(pointer, "/")[1:]
	for i, step := range steps {
		steps[i] = messages.UnescapePointer(step)
	}
	p.n, p.rest = in.reach(steps)
	switch {
	case p.n == nil && standard.value == nil:
		d.atf(m.name, "the parameter %s of the channel's address is at %s, and nothing is there: add it to \"message\"", shorten(p.name, 60),
			shorten(location, 100))
	case p.n == nil || len(p.rest) > 0:
	case p.n.kind == objectKind || p.n.kind == listKind || p.n.kind == nullKind:
		d.atf(p.n, "%q stands in the address, and must be a string, a number, true or false, but is %s", p.n.property(), p.n.describe())
	default:
		d.among(p.n, d.get(values, "enum"))
	}
	return p
}

// reach follows a path as far as it is written. What is left of it leads on in what an expression makes. nil: nothing is there.
func (n *node) reach(path []string) (*node, []string) {
	if n == nil {
		return nil, nil
	}
	for i := range path {
		next := n.find(path[i : i+1])
		if next == n && n.isExpression() {
			return n, path[i:]
		}
		if next == n {
			return nil, nil
		}
		n = next
	}
	return n, nil
}
