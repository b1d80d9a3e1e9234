package definition

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// useCatalogs reads where catalogs of functions are.
func (c *compiler) useCatalogs(n *node) {
	o := c.object(n, "the property \"use.catalogs\"", anyProperty)
	if !o.ok {
		return
	}
	c.catalogs = make(map[string]string)
	for _, item := range n.items {
		e := c.object(item, "a catalog", "endpoint")
		if address := c.addressOf(e.required("endpoint")); address != "" {
			c.catalogs[item.name] = strings.TrimSuffix(raw(address), "/")
		}
	}
}

// cataloged is a function of a catalog.
var cataloged = regexp.MustCompile(`^([a-zA-Z0-9_-]+):([^@]+)@(.+)$`)

// functionAddress returns the address of a function that is elsewhere; "" if a call is of something else.
func (c *compiler) functionAddress(call *node) string {
	if found := cataloged.FindStringSubmatch(call.text); found != nil && c.catalogs[found[3]] != "" && messages.IsVersion(found[2]) {
		return c.catalogs[found[3]] + "/functions/" + found[1] + "/" + found[2] + "/function.yaml"
	}
	if strings.Contains(call.text, "://") && absoluteURI.MatchString(call.text) && !strings.Contains(call.text, "${") {
		return raw(call.text)
	}
	return ""
}

// remoteCall compiles the call of a function that is elsewhere: a task, as those in "use.functions" are.
func (c *compiler) remoteCall(call *node, address string, with workflow.Expr, t *workflow.Task, s scope) {
	content, has := c.fetched(call, address)
	if !has {
		return
	}
	body := c.readResource(call, content, address)
	if body == nil {
		return
	}
	do := c.functionCall(call, "function", body, t, s)
	do.Input = with
	t.Kind = do
}

// raw is the address at which GitHub and GitLab have what they show at another one.
func raw(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	steps := strings.Split(strings.Trim(u.Path, "/"), "/")
	switch {
	case u.Host == "github.com" && len(steps) == 2:
		u.Host, u.Path = "raw.githubusercontent.com", "/"+strings.Join(steps, "/")+"/HEAD"
	case u.Host == "github.com" && len(steps) > 3 && (steps[2] == "tree" || steps[2] == "blob"):
		u.Host, u.Path = "raw.githubusercontent.com", "/"+strings.Join(append(steps[:2:2], steps[3:]...), "/")
	case u.Host == "gitlab.com":
		u.Path = strings.NewReplacer("/-/tree/", "/-/raw/", "/-/blob/", "/-/raw/").Replace(u.Path)
	}
	return u.String()
}
