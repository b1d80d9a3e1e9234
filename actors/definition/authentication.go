package definition

import (
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/messages"
)

// authentication reads who a request says that it comes from: a policy, or the name of one in "use.authentications".
func (r *request) authentication(n *node) {
	name := n
	if n.kind == objectKind && n.get("use") != nil {
		name = r.c.object(n, "an authentication", "use").get("use")
	}
	if name.kind == stringKind {
		n = r.c.named(name, "authentications")
	}
	if n != nil {
		r.policy(n)
	}
}

// schemes are the ways to authenticate, and the properties of each.
var schemes = map[string][]string{
	"basic": {"username", "password"}, "digest": {"username", "password"}, "bearer": {"token"}, "certificate": {},
	"oauth2": append([]string{"endpoints"}, oauthProperties...), "oidc": oauthProperties,
}

var oauthProperties = []string{
	"authority", "grant", "client", "request", "issuers", "scopes", "audiences", "username", "password", "subject", "actor",
}

// policy reads a way to authenticate. What it is made of is left to the adapter where it is secret.
func (r *request) policy(n *node) {
	o := r.c.object(n, "an authentication", sortedNames(schemes)...)
	if !o.ok {
		return
	}
	if len(n.keys) != 1 {
		r.c.atf(n, "an authentication must have one of the properties %s, but has %d properties", quoted(sortedNames(schemes)), len(n.keys))
		return
	}
	scheme := n.keys[0].name
	if why := r.without[scheme]; why != "" {
		r.c.atf(n, "the authentication %q can't be used here: %s", scheme, why)
	}
	r.name("authentication")
	r.literal.WriteByte('{')
	writeString(&r.literal, scheme)
	r.literal.WriteByte(':')
	r.at += "/" + messages.EscapePointer(scheme)
	r.scheme(n.items[0], scheme)
	r.literal.WriteByte('}')
}

// scheme reads what a way to authenticate needs: it is in a secret, or written here.
func (r *request) scheme(n *node, scheme string) {
	what := "the property \"" + scheme + "\" of an authentication"
	if use := n.get("use"); use != nil {
		if r.c.object(n, what, "use").ok && r.c.isString(use, "use") {
			r.literal.WriteString("null")
			r.sealed = append(r.sealed, sealed{use, r.at})
		}
		return
	}
	o := r.c.object(n, what, append([]string{"use"}, schemes[scheme]...)...)
	if !o.ok {
		return
	}
	switch scheme {
	case "certificate":
		r.c.atf(n, "a certificate and its key are secret: name the secret that they are in, such as {use: clientCertificate}")
	case "oauth2", "oidc":
		r.oauth(o)
	default:
		for _, name := range schemes[scheme] {
			if v := o.required(name); v != nil {
				r.c.isString(v, name)
			}
		}
	}
	r.add(n)
}

// The grants of OAuth 2 by which tokens are got without a person.
const (
	grantClient   = "client_credentials"
	grantPassword = "password"
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
)

var (
	grants     = []string{grantClient, grantPassword, grantExchange}
	clientAuth = []string{"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"}
	encodings  = []string{"application/x-www-form-urlencoded", "application/json"}
)

// oauth checks how a token is got.
func (r *request) oauth(o object) {
	if v := o.required("authority"); v != nil && r.c.isString(v, "authority") && !v.isExpression() {
		if !strings.HasPrefix(v.text, "https://") && !strings.HasPrefix(v.text, "http://") {
			r.c.atf(v, "\"authority\" must be an address such as \"https://id.example.com\", but is %s", v.describe())
		}
	}
	grant := ""
	if v := o.required("grant"); v != nil && r.c.isString(v, "grant") {
		grant = v.text
		switch grant {
		case "authorization_code", "refresh_token":
			r.c.atf(v, "the grant %q is not supported, as a person has to agree to it first: use one of %s", grant, quoted(grants))
		default:
			r.oneOf(v, grants)
		}
	}
	client := r.c.object(o.get("client"), "the property \"client\"", "id", "secret", "assertion", "authentication")
	if v := client.get("authentication"); v != nil {
		r.oneOf(v, clientAuth)
		if v.text == "private_key_jwt" {
			client.required("assertion")
		}
	}
	if v := r.c.object(o.get("request"), "the property \"request\"", "encoding").get("encoding"); v != nil {
		r.oneOf(v, encodings)
	}
	endpoints := r.c.object(o.get("endpoints"), "the property \"endpoints\"", "token", "revocation", "introspection")
	for _, name := range [...]string{"token", "revocation", "introspection"} {
		r.c.isText(endpoints.get(name))
	}
	for _, name := range [...]string{"issuers", "scopes", "audiences"} {
		v := o.get(name)
		if v != nil && v.kind != listKind && !v.isExpression() {
			r.c.atf(v, "%q must be a list, but is %s", name, v.describe())
			continue
		}
		for _, item := range v.children() {
			r.c.isText(item)
		}
	}
	for _, name := range [...]string{"subject", "actor"} {
		if token := r.c.object(o.get(name), "the property \""+name+"\"", "token", "type"); token.ok {
			r.c.isText(token.required("token"))
			r.c.isText(token.required("type"))
		}
	}
	r.c.isText(o.get("username"))
	r.c.isText(o.get("password"))
	for _, name := range [...]string{"id", "secret", "assertion"} {
		r.c.isText(client.get(name))
	}
	switch grant {
	case grantPassword:
		o.required("username")
		o.required("password")
	case grantExchange:
		o.required("subject")
	}
}

// isText checks that a node is a text, if it is there, of which earlier versions have taken anything.
func (c *compiler) isText(n *node) {
	if n != nil && n.kind != stringKind {
		c.newlyf(n, "%q must be a string, but is %s", n.property(), n.describe())
	}
}

// oneOf checks a text that is one of a few.
func (r *request) oneOf(n *node, known []string) {
	if n.kind != stringKind || !slices.Contains(known, n.text) {
		r.c.atf(n, "%q must be one of %s, but is %s", n.property(), quoted(known), n.describe())
	}
}
