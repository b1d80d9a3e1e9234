package definition

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// Compile checks a document and compiles it. If anything is wrong with it, the definition is nil and the mistakes tell
// everything found, in the order of the document.
func Compile(document []byte, limits Limits) (*workflow.Definition, []*definitionv1.Mistake) {
	return mistakesOf(check(document, limits, false))
}

// Load compiles a document that was deployed before, perhaps by an earlier version, which read numbers in YAML as YAML does and changed how
// they are written. The document keeps the meaning that it had then, as far as it can be compiled at all.
func Load(document []byte, limits Limits) (*workflow.Definition, []*definitionv1.Mistake) {
	return mistakesOf(check(document, limits, true))
}

func mistakesOf(def *workflow.Definition, found []*definitionv1.Mistake) (*workflow.Definition, []*definitionv1.Mistake) {
	if def != nil {
		return def, nil
	}
	return nil, slices.DeleteFunc(found, func(m *definitionv1.Mistake) bool {
		return m.GetSeverity() == definitionv1.Severity_SEVERITY_WARNING
	})
}

// Check does what Compile does, and also warns of what can be run but is surely not meant. There is a definition unless something that was
// found is more than a warning.
func Check(document []byte, limits Limits) (*workflow.Definition, []*definitionv1.Mistake) {
	return check(document, limits, false)
}

func check(document []byte, limits Limits, stored bool) (*workflow.Definition, []*definitionv1.Mistake) {
	limits = limits.WithDefaults()
	c := &compiler{
		undoRetry: undoRetries,
		limits:    limits,
		used:      make(map[*node]bool),
		schemas:   make(map[*node]workflow.Schema),
		templates: make(map[templateKey]workflow.Expr),
		opened:    make(map[string]any),
		read:      make(map[string]*node),
		protos:    make(map[string]*protoregistry.Files),
		bundles:   make(map[string]bundled),
	}
	c.stored = stored
	if len(document) > limits.Document {
		c.add(0, 0, "", fmt.Sprintf("the document has %d bytes, with what it refers to, more than the %d allowed: split the workflow",
			len(document), limits.Document))
		return nil, c.sorted()
	}
	text, resources, err := messages.SplitResources(document)
	if err != nil {
		c.add(0, 0, "", err.Error())
		return nil, c.sorted()
	}
	c.resources = resources
	root := c.parse(text, limits)
	if root == nil {
		return nil, c.sorted()
	}
	c.programs = newPrograms(limits)
	hash := sha256.Sum256(document)
	c.def = &workflow.Definition{Hash: hash[:], Document: root.value(), Tasks: make(map[string]*workflow.Task)}
	c.document(root)
	if c.failed() {
		return nil, c.sorted()
	}
	return c.def, c.sorted()
}

// compiler compiles one document.
type compiler struct {
	mistakes

	limits   Limits
	programs *programs
	def      *workflow.Definition

	// components holds the reusable components: authentications, errors, functions, retries and timeouts.
	components map[string]*node
	// resources are documents elsewhere, by their addresses, opened those of OpenAPI and AsyncAPI that were read, protos those that describe
	// services, and read the others.
	resources map[string][]byte
	opened    map[string]any
	protos    map[string]*protoregistry.Files
	read      map[string]*node
	// bundles are the schemas of documents of AsyncAPI that were compiled, by themselves as JSON, bundledParts how large all of them are.
	bundles      map[string]bundled
	bundledParts int
	// extensions are those of all tasks.
	extensions []*extension
	// catalogs are the addresses below which functions are, by the names of the catalogs.
	catalogs map[string]string
	// secrets are the names of those that the definition uses.
	secrets map[string]bool
	used    map[*node]bool
	// loose: any text may be an expression. alpha: the document is of a version of the language that was not final.
	loose, alpha bool
	// undoRetry is the policy by which compensations are tried again that have none of their own.
	undoRetry *workflow.Retry
	// scheduling is what the metadata says of the schedule, and accepting what it says of orders; nil: nothing.
	scheduling, accepting *node
	// tasks counts the tasks made so far.
	tasks int
	// schemas and templates are those compiled so far: the calls of a function share them.
	schemas   map[*node]workflow.Schema
	templates map[templateKey]workflow.Expr
}

// notYet is the mistake of using what the language has and Holdfast doesn't.
const notYet = "%s is not supported yet: remove it"

func (c *compiler) document(root *node) {
	o := c.object(root, "a workflow definition",
		"document", "input", "use", "do", "timeout", "output", "schedule", "evaluate")
	if !o.ok {
		return
	}
	c.use(o.get("use"))
	if n := o.required("document"); n != nil {
		c.header(n)
	}
	c.evaluate(o.get("evaluate"))
	c.def.Input = c.input(o.get("input"), placeWorkflowInput, nil)
	c.def.Output = c.output(o.get("output"), placeWorkflowOutput, nil)
	c.terms(c.accepting)
	c.schedule(o.get("schedule"), c.scheduling)
	c.def.Timeout = c.timeout(o.get("timeout"), placeWorkflowTimeout, nil)
	if n := o.required("do"); n != nil {
		c.def.Do = c.taskList(n, scope{ref: "/do"})
	}
	c.checkUnused()
	activities := make(map[string]bool)
	for _, t := range c.def.Tasks {
		if call, ok := t.Kind.(*workflow.Call); ok {
			activities[call.Activity] = true
		}
	}
	c.def.Routes = c.routes()
	c.def.Activities = slices.Sorted(maps.Keys(activities))
}

var (
	dslPattern  = regexp.MustCompile(`^1\.0\.(?:[0-3]|0-alpha[1-5])$`)
	namePattern = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)
)

// maxVersion is the length of the longest version of a definition, in bytes.
const maxVersion = 128

// header reads the property "document".
func (c *compiler) header(n *node) {
	o := c.object(n, "the property \"document\"",
		"dsl", "namespace", "name", "version", "title", "summary", "tags", "metadata")
	if !o.ok {
		return
	}
	c.version(o)
	c.def.Ref = o.definition(messages.IsVersion, "a semantic version such as '1.0.0', in quotes")
	c.def.Title = o.text("title")
	o.text("summary")
	c.object(o.get("tags"), "the property \"tags\"", anyProperty)
	c.metadata(o.get("metadata"))
}

// version reads the version of the language that the document is written in. All are read as the latest.
func (c *compiler) version(o object) {
	text := o.match("dsl", dslPattern.MatchString, "a version of the language that is supported, '1.0.0' to '1.0.3', in quotes")
	if c.alpha = strings.Contains(text, "-"); c.alpha {
		c.warnf(o.get("dsl"), "the version %s of the language is not final: the document is read as one of 1.0.3, and what has changed since is "+
			"refused", text)
	}
}

// definition returns the name of a definition, whose version is one that isVersion takes.
func (o object) definition(isVersion func(string) bool, aVersion string) messages.DefinitionRef {
	const aName = "a name of at most 63 letters, digits and inner hyphens"
	return messages.DefinitionRef{
		Namespace: o.match("namespace", namePattern.MatchString, aName),
		Name:      o.match("name", namePattern.MatchString, aName),
		Version:   o.match("version", isVersion, aVersion),
	}
}

// match returns a required property that is a string which fits, or "" after a mistake.
func (o object) match(name string, fits func(string) bool, want string) string {
	v := o.required(name)
	if v == nil {
		return ""
	}
	if v.kind != stringKind || len(v.text) > maxVersion || !fits(v.text) {
		o.c.atf(v, "%q must be %s, but is %s", name, want, v.describe())
		return ""
	}
	return v.text
}

// metadata reads what of the document's metadata means something to Holdfast.
func (c *compiler) metadata(n *node) {
	o := c.object(n, "the property \"metadata\"", anyProperty)
	if !o.ok {
		return
	}
	o = c.object(o.get("holdfast"), "the property \"metadata.holdfast\"",
		"onFault", "compensateRetry", "orderKey", "priority", "labels", "schedule")
	if !o.ok {
		return
	}
	c.scheduling, c.accepting = o.get("schedule"), o.n
	if v := o.get("compensateRetry"); v != nil {
		c.undoRetry = c.compensateRetry(v)
	}
	v := o.get("onFault")
	switch {
	case v == nil || v.kind == stringKind && v.text == "hold":
	case v.kind == stringKind && v.text == "release":
		c.def.ReleaseKey = true
	default:
		c.atf(v, "\"onFault\" must be \"hold\", so that a faulted order keeps the next ones of its key from running until "+
			"it is released, or \"release\", but is %s", v.describe())
	}
}

func (c *compiler) evaluate(n *node) {
	o := c.object(n, "the property \"evaluate\"", "language", "mode")
	if v := o.get("language"); v != nil && (v.kind != stringKind || v.text != "jq") {
		c.atf(v, "the language %s is not supported: the only one is \"jq\"", shorten(v.text, 40))
	}
	switch v := o.get("mode"); {
	case v == nil, v.kind == stringKind && v.text == "strict":
	case v.kind == stringKind && v.text == "loose":
		c.loose = true
	default:
		c.atf(v, "the mode %s is not supported: there are \"strict\", expressions in ${ }, and \"loose\"", shorten(v.text, 40))
	}
}

// use finds the reusable components.
func (c *compiler) use(n *node) {
	o := c.object(n, "the property \"use\"", "authentications", "catalogs", "errors", "extensions", "functions",
		"retries", "secrets", "timeouts")
	if !o.ok {
		return
	}
	c.useExtensions(o.get("extensions"))
	c.useCatalogs(o.get("catalogs"))
	c.useSecrets(o.get("secrets"))
	c.components = make(map[string]*node)
	for _, kind := range []string{"authentications", "errors", "functions", "retries", "timeouts"} {
		of := c.object(o.get(kind), fmt.Sprintf("the property \"use.%s\"", kind), anyProperty)
		if of.ok {
			c.components[kind] = of.n
		}
		for k := range of.properties() {
			if kind == "functions" && slices.Contains(protocols, k.name) {
				c.atKeyf(of.n, k, "no function can be called %q, \"call: %s\" means something else: rename it", k.name, k.name)
			}
		}
	}
}

// secretName is what a secret may be called: adapters look for it in a folder.
var secretName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,252}$`)

// useSecrets reads the names of the secrets.
func (c *compiler) useSecrets(n *node) {
	if n == nil {
		return
	}
	if n.kind != listKind {
		c.atf(n, "\"use.secrets\" must be a list of names such as [billing], but is %s", n.describe())
		return
	}
	c.secrets = make(map[string]bool)
	for _, item := range n.items {
		if item.kind != stringKind || !secretName.MatchString(item.text) {
			c.atf(item, "a secret must have a name of at most 253 letters, digits and _ . -, but this is %s", item.describe())
			continue
		}
		c.secrets[item.text] = true
	}
}

// checkUnused checks the reusable components that nothing uses: the others were checked where they are used. Extensions may extend nothing.
func (c *compiler) checkUnused() {
	for _, e := range c.extensions {
		c.checkExtension(e)
	}
	for _, kind := range []struct {
		name  string
		check func(n *node)
	}{
		{"functions", c.checkFunction},
		{"errors", func(n *node) { c.errorDefinition(n, nil) }},
		{"retries", func(n *node) { c.retryPolicy(n, []string{defaultErrorVariable}) }},
		{"timeouts", func(n *node) { c.timeoutDefinition(n, placeTask, nil) }},
		{"authentications", func(n *node) {
			r := c.request(scope{check: true})
			if r.policy(n); !c.stored { // earlier versions did not look for the secrets of policies that nobody uses
				r.done()
			}
		}},
	} {
		for _, n := range c.components[kind.name].children() {
			if !c.used[n] {
				kind.check(n)
			}
		}
	}
}

// named returns the reusable component of a kind that a reference names, or nil after a mistake.
func (c *compiler) named(ref *node, kind string) *node {
	components := c.components[kind]
	if v := components.get(ref.text); v != nil {
		c.used[v] = true
		return v
	}
	if ref.isExpression() || isoPattern.MatchString(ref.text) || absoluteURI.MatchString(ref.text) {
		c.atf(ref, "%q must be the name of a component of \"use.%s\", or an object such as %s, but is %s",
			ref.property(), kind, inPlace(ref, kind), ref.describe())
		return nil
	}
	c.atf(ref, "there is no %s in \"use.%s\": %s", shorten(ref.text, 60), kind,
		hint(ref.text, components.names(), "define it there, or write an object such as "+inPlace(nil, kind)))
	return nil
}

// inPlace shows what to write in place of the name of a component; of a text, if it fits there.
func inPlace(n *node, kind string) string {
	switch {
	case kind == "timeouts" && n != nil && len(n.text) <= 40:
		return "{after: " + strconv.Quote(n.text) + "}"
	case kind == "retries" && n != nil && isoPattern.MatchString(n.text):
		return "{delay: " + n.text + "}"
	case kind == "errors" && n != nil && n.isExpression():
		return "{type: \"${ … }\", status: 500}"
	}
	return forms[kind]
}

// hint says what a name that is not known may have been meant to be.
func hint(name string, known []string, otherwise string) string {
	if len(known) == 0 {
		return otherwise
	}
	return didYouMean(name, known, known)
}

// didYouMean says which of the names that are known one may have been meant to be that is not, or else what is expected.
func didYouMean(name string, known, expected []string) string {
	if s := similar(name, known); s != "" {
		return fmt.Sprintf("did you mean %q?", s)
	}
	return "expected " + quoted(expected[:min(len(expected), 12)])
}
