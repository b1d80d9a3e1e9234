package access

import (
	"slices"
	"strings"
)

// Role is a kind of things that a caller may do.
type Role string

// The roles.
const (
	// Viewer reads: orders and their histories, definitions, how the node is.
	Viewer Role = "viewer"
	// Submitter submits orders and cancels them, and reads what a viewer does.
	Submitter Role = "submitter"
	// Operator does to orders what operators do, and reads what a viewer does. For all namespaces: limits activities.
	Operator Role = "operator"
	// Deployer deploys definitions, which may call the activities that are granted with the role, retires and reinstates them, and reads
	// what a viewer does.
	Deployer Role = "deployer"
	// Administrator does all of these but for an adapter's. For all namespaces: whatever is done to the node, the cluster and the journal.
	Administrator Role = "administrator"
	// Adapter serves the activities that are granted with the role, and nothing else.
	Adapter Role = "adapter"
)

// Roles are all of them.
func Roles() []Role { return []Role{Viewer, Submitter, Operator, Deployer, Administrator, Adapter} }

// includes tells whether who has a role may do what another one is for.
func (r Role) includes(other Role) bool {
	switch {
	case r == other:
		return true
	case other == Adapter || r == Adapter:
		return false
	case r == Administrator:
		return true
	default:
		return other == Viewer
	}
}

// Grant is a role that a caller has.
type Grant struct {
	Role Role
	// Namespaces are those in which the caller has it, each a name, or the beginning of some with * behind it.
	Namespaces []string
	// Activities are those that an adapter may serve, and those that definitions of a deployer may call, of the form adapter.activity, or the
	// beginning of some with * behind it. An administrator's may call all.
	Activities []string
}

// matches tells whether a pattern is a name, or its beginning with * behind it.
func matches(pattern, name string) bool {
	if prefix, open := strings.CutSuffix(pattern, "*"); open {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// How says what a caller is known by.
type How string

// What callers are known by.
const (
	// Nobody is asked who he is.
	Nobody        How = ""
	ByCertificate How = "certificate"
	ByToken       How = "token"
	ByIssuer      How = "issuer" // a token of one
)

// Caller is who calls. Nil stands for one who may do everything, as nobody is asked who he is.
type Caller struct {
	// Name is that of the caller: a name in its certificate, or what the file or the issuer says who has the token.
	Name string
	How  How
	// Via tells callers with the same name apart: the issuer of the token, or its id.
	Via string

	grants []Grant
}

// Everywhere stands for all namespaces.
const Everywhere = "*"

// May tells whether a caller has a role in a namespace; Everywhere: in all.
func (c *Caller) May(role Role, namespace string) bool {
	if c == nil {
		return true
	}
	for i := range c.grants {
		if g := &c.grants[i]; g.Role.includes(role) && matchesAny(g.Namespaces, namespace) {
			return true
		}
	}
	return false
}

// MayAnywhere tells whether a caller has a role in any namespace.
func (c *Caller) MayAnywhere(role Role) bool {
	return c == nil || slices.ContainsFunc(c.grants, func(g Grant) bool { return g.Role.includes(role) })
}

// MayServe tells whether a caller may serve an activity, adapter.activity.
func (c *Caller) MayServe(activity string) bool {
	return c == nil || slices.ContainsFunc(c.grants, func(g Grant) bool { return g.Role == Adapter && matchesAny(g.Activities, activity) })
}

// MayCall tells whether definitions that a caller deploys in a namespace may call an activity.
func (c *Caller) MayCall(namespace, activity string) bool {
	return c == nil || slices.ContainsFunc(c.grants, func(g Grant) bool {
		return g.Role.includes(Deployer) && matchesAny(g.Namespaces, namespace) &&
			(g.Role == Administrator || matchesAny(g.Activities, activity))
	})
}

// Sees returns a function that tells whether a caller has a role in a namespace; nil: it has it in all.
func (c *Caller) Sees(role Role) func(namespace string) bool {
	if c.May(role, Everywhere) {
		return nil
	}
	return func(namespace string) bool { return c.May(role, namespace) }
}

// same tells whether two callers are the same one, with the same grants.
func (c *Caller) same(other *Caller) bool {
	return c.Name == other.Name && c.How == other.How && c.Via == other.Via &&
		slices.EqualFunc(c.grants, other.grants, func(a, b Grant) bool {
			return a.Role == b.Role && slices.Equal(a.Namespaces, b.Namespaces) && slices.Equal(a.Activities, b.Activities)
		})
}

// String is for people.
func (c *Caller) String() string {
	if c == nil {
		return "anybody"
	}
	how := "by " + string(c.How)
	if c.Via != "" {
		how += " " + c.Via
	}
	return c.Name + " (" + how + ")"
}
