package catalog

import (
	"slices"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// Routes returns the routes of events of a type, and of those of all types, that the deployed definitions of a namespace listen for,
// without repetition.
func (c *Catalog) Routes(namespace, eventType string) []*journalv1.Route {
	c.mu.RLock()
	byType, made := c.routes[namespace]
	_, known := c.namespaces[namespace]
	c.mu.RUnlock()
	if !made && known {
		byType = c.makeRoutes(namespace)
	}
	return slices.Concat(byType[eventType], byType[""])
}

func (c *Catalog) makeRoutes(namespace string) map[string][]*journalv1.Route {
	c.mu.Lock()
	defer c.mu.Unlock()
	byType, seen := map[string][]*journalv1.Route{}, map[string]bool{}
	for ref, e := range c.byRef {
		row := e.row.Load()
		if ref.Namespace != namespace || isRemoved(row) {
			continue
		}
		for _, r := range row.GetRoutes() {
			if key := messages.RouteKey(r); !seen[key] {
				seen[key] = true
				byType[r.GetType()] = append(byType[r.GetType()], r)
			}
		}
	}
	if len(c.routes) >= mostRouted {
		clear(c.routes)
	}
	c.routes[namespace] = byType
	return byType
}

// mostRouted is of how many namespaces the routes are kept.
const mostRouted = 1000

// Scheduled returns what is kept in memory of the latest version of each name of which some version has a schedule, also if it has none
// itself, or is retired.
func (c *Catalog) Scheduled() []*journalv1.DefinitionRow {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]*journalv1.DefinitionRow, 0, len(c.scheduled))
	for name := range c.scheduled {
		out = append(out, c.byRef[c.latest[name]].row.Load())
	}
	return out
}
