package constructs

import (
	"context"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// events are cases of emit and listen.
func events() []Case {
	numbered := func(eventType, n string) Event { return Event{Type: eventType, Data: `{"n":` + n + `}`} }
	listening := func(name, listen, output string, events ...Event) Case {
		return Case{
			Name: name, Input: `{"id": 7}`, Events: events, Document: "do:\n- l: {listen: {" + listen + "}}\n",
			Want: Want{Output: output, Path: "l"},
		}
	}
	all := []Case{
		{Name: "emit", Input: `{"id": 7}`, Document: `
do:
- e: {emit: {event: {with: {source: /shop, type: e.ordered, subject: x, data: {id: '${ .id }'}}}}}
`, Want: Want{Part: true, Output: `{"source":"/shop","type":"e.ordered","subject":"x","data":{"id":7},"specversion":"1.0"}`}},
		{Name: "emit-and-listen", Input: `{"id": 7}`, Document: `
do:
- e: {emit: {event: {with: {source: /shop, type: e.ordered, data: {id: '${ .id }'}}}}}
- l:
    listen: {to: {one: {with: {type: e.ordered}, correlate: {id: {from: .data.id, expect: '${ $context.id }'}}}}}
`, Want: Want{Output: `[{"id":7}]`, Path: "e>l"}},
		listening("listen-one", "to: {one: {with: {type: e.one, data: '${ .n > 1 }'}}}", `[{"n":2}]`,
			Event{Type: "e.one", Data: `{"n":1}`, Passed: true}, numbered("e.one", "2")),
		listening("listen-pattern", "to: {one: {with: {type: e.one, source: '/sho.*'}}}", `[{"n":2}]`,
			Event{Type: "e.one", Source: "/other", Data: `{"n":1}`, Passed: true}, Event{Type: "e.one", Source: "/shop", Data: `{"n":2}`}),
		listening("listen-all", "to: {all: [{with: {type: e.one}}, {with: {type: e.two}}]}", `[{"n":2},{"n":1}]`,
			numbered("e.two", "2"), numbered("e.one", "1")),
		listening("listen-any", "to: {any: [{with: {type: e.one}}, {with: {type: e.two}}]}", `[{"n":2}]`, numbered("e.two", "2")),
		listening("listen-any-type", "to: {any: []}", `[{"n":2}]`, numbered("e.two", "2")),
		listening("listen-until", "to: {any: [{with: {type: e.one}}], until: '${ length == 2 }'}", `[{"n":1},{"n":2}]`,
			numbered("e.one", "1"), numbered("e.one", "2")),
		listening("listen-until-event", "to: {any: [{with: {type: e.one}}], until: {one: {with: {type: e.two}}}}", `[{"n":1}]`,
			numbered("e.one", "1"), numbered("e.two", "2")),
		listening("listen-correlated", "to: {all: [{with: {type: e.one}, correlate: {id: {from: .data.n}}}, "+
			"{with: {type: e.two}, correlate: {id: {from: .data.n}}}]}", `[{"n":1},{"n":1}]`,
			numbered("e.one", "1"), Event{Type: "e.two", Data: `{"n":2}`, Passed: true}, numbered("e.two", "1")),
		listening("listen-raw", "to: {one: {with: {type: e.one}}}, read: raw", `[{"n":2}]`, numbered("e.one", "2")),
	}
	envelope := listening("listen-envelope", "to: {one: {with: {type: e.one}}}, read: envelope", `[{"type":"e.one","data":{"n":2}}]`,
		numbered("e.one", "2"))
	envelope.Part = true
	return append(all, envelope, Case{
		Name: "listen-foreach", Events: []Event{numbered("e.one", "1"), numbered("e.one", "2")}, Document: `
do:
- l:
    listen: {to: {any: [{with: {type: e.one}}], until: '${ length == 2 }'}}
    foreach:
      item: e
      at: i
      do: [{a: {call: stub.apply, with: {name: '${ "n\($e.n) \($i)" }'}}}]
      output: {as: .done}
`, Want: Want{Output: `["n1 0","n2 1"]`, Did: did{"n1 0", "n2 1"}},
	}, Case{
		Name: "listen-forever", Events: []Event{numbered("e.one", "1"), numbered("e.one", "2")}, Document: `
do:
- l:
    listen: {to: {any: [{with: {type: e.one}}], until: '${ false }'}}
    foreach: {do: [{a: {call: stub.apply, with: {name: '${ "n\($item.n)" }'}}}]}
`, Meanwhile: func(ctx context.Context, r *Running) error {
			if err := r.Done(ctx, 2); err != nil {
				return err
			}
			return r.Cancel(ctx, false)
		}, Want: Want{Status: orderv1.Status_STATUS_CANCELLED, Did: did{"n1", "n2"}},
	})
}
