package actors_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// publish publishes an event of a type in the namespace of the tests, and returns the number of slots that it went to.
func (n *node) publish(id, eventType, data string) int {
	n.t.Helper()
	var slots int
	done := make(chan *nodev1.Failure, 2)
	event := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/test","type":%q,"data":%s}`, id, eventType, data)
	n.Publish("test", []byte(event), 0, func(n int, f *nodev1.Failure) {
		slots = n
		done <- f
	})
	if f := <-done; f != nil {
		n.t.Fatalf("publish %s: %v", event, f)
	}
	settle()
	return slots
}

func listenTo(to string) string { return "do: [{a: {listen: {to: " + to + "}}}]" }

func (n *node) wantOutput(id, want string) {
	n.t.Helper()
	s := n.state(id)
	if got := string(s.Output().JSON()); s.Status() != completed || got != want {
		n.t.Errorf("order %s is %v with %s, want %s; error: %v", id, s.Status(), got, want, s.Error())
	}
}

// An order waits for an event; one that nobody waits for is kept for those who come later, as long as it is to be.
func TestListen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory, withEngine(actors.Config{EventKeep: time.Minute}))
		def := n.deploy("one", listenTo("{one: {with: {type: paid, data: '${ .amount > 5 }'}}}"))
		n.mustSubmit(order{id: "a", def: def})
		n.mustSubmit(order{id: "b", def: def})
		n.expect("a", waiting)
		if slots := n.publish("0", "other", `{"amount":7}`); slots != 0 {
			t.Errorf("what nobody listens for went to %d slots", slots)
		}
		n.publish("1", "paid", `{"amount":3}`)
		n.expect("a", waiting)
		n.publish("2", "paid", `{"amount":7}`)
		n.wantOutput("a", `[{"amount":7}]`)
		n.wantOutput("b", `[{"amount":7}]`)
		n.publish("2", "paid", `{"amount":7}`) // again
		n.mustSubmit(order{id: "c", def: def})
		n.expect("c", waiting)
		n.publish("3", "paid", `{"amount":8}`)
		n.wantOutput("c", `[{"amount":8}]`)
		n.publish("4", "paid", `{"amount":9}`)
		n.sleep(50 * time.Second)
		n.mustSubmit(order{id: "d", def: def})
		n.wantOutput("d", `[{"amount":9}]`)
		n.publish("5", "paid", `{"amount":10}`)
		n.sleep(70 * time.Second)
		n.mustSubmit(order{id: "e", def: def})
		n.expect("e", waiting)
	})
}

// What correlates goes to whoever expects it, before or after.
func TestCorrelation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		def := n.deploy("one", listenTo("{one: {with: {type: paid}, correlate: {order: {from: .data.order, expect: '${ .order }'}}}}"))
		n.mustSubmit(order{id: "a", def: def, input: `{"order":1}`})
		n.publish("1", "paid", `{"order":"2"}`)
		n.publish("2", "paid", `{"order":1}`)
		n.wantOutput("a", `[{"order":1}]`)
		n.mustSubmit(order{id: "b", def: def, input: `{"order":2}`})
		n.wantOutput("b", `[{"order":"2"}]`)
		if slots := n.publish("3", "paid", `{}`); slots != 0 {
			t.Errorf("what correlates with nothing went to %d slots", slots)
		}
		all := n.deploy("all", listenTo("{all: [{with: {type: t}, correlate: {room: {from: .data.room}}}, {with: {type: h}, correlate: {room: {from: .data.room}}}]}"))
		n.mustSubmit(order{id: "c", def: all})
		n.publish("t1", "t", `{"room":1}`)
		n.publish("h2", "h", `{"room":2}`)
		n.expect("c", waiting)
		n.mustSubmit(order{id: "d", def: all})
		n.publish("h1", "h", `{"room":1}`)
		n.wantOutput("c", `[{"room":1},{"room":1}]`)
		n.publish("t2", "t", `{"room":2}`)
		n.wantOutput("d", `[{"room":2},{"room":2}]`)
	})
}

// A task goes on to listen until it has enough, and may do something for each event.
func TestListenUntil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.mustSubmit(order{id: "n", def: n.deploy("n", listenTo("{any: [{with: {type: x}}], until: '(. | length) >= 3'}"))})
		n.mustSubmit(order{id: "e", def: n.deploy("e", listenTo("{any: [], until: {one: {with: {type: stop}}}}"))})
		each := "do: [{a: {listen: {to: {any: [{with: {type: x}}], until: {one: {with: {type: stop}}}}, read: envelope}, " +
			"foreach: {item: e, do: [{w: {wait: PT1S}}, {s: {set: '${ $e.data * 10 + $index }'}}], output: {as: '{v: .}'}}}}]"
		n.mustSubmit(order{id: "f", def: n.deploy("f", each)})
		for i := range 4 {
			n.publish(fmt.Sprint(i), "x", fmt.Sprint(i))
		}
		n.wantOutput("n", "[0,1,2]")
		n.publish("y", "y", `"y"`)
		n.publish("stop", "stop", "0")
		n.wantOutput("e", `[0,1,2,3,"y"]`)
		n.expect("f", waiting)
		n.sleep(5 * time.Second)
		n.wantOutput("f", `[{"v":0},{"v":11},{"v":22},{"v":33}]`)
	})
}

// An order emits what another one waits for; the event gets what it lacks.
func TestEmit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.mustSubmit(order{id: "l", def: n.deploy("l", "do: [{a: {listen: {to: {one: {with: {type: x}}}, read: envelope}}}]")})
		emit := n.deploy("e", "do: [{a: {emit: {event: {with: {source: /me, type: x, data: '${ .n + 1 }'}}}}}]")
		n.mustSubmit(order{id: "e", def: emit, input: `{"n":1}`})
		out := string(n.state("e").Output().JSON())
		for _, want := range []string{`"data":2`, `"specversion":"1.0"`, `"time":"2000-01-01T`, `"id":"`} {
			if !strings.Contains(out, want) {
				t.Errorf("the event is %s, without %s", out, want)
			}
		}
		n.wantOutput("l", "["+out+"]")
	})
}

// Nothing is lost or given twice when the process is killed at any point.
func TestEventsKilled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		def := n.deploy("one", listenTo("{one: {with: {type: paid}, correlate: {order: {from: .data.order, expect: '${ .order }'}}}}"))
		for i := range 5 {
			n.mustSubmit(order{id: fmt.Sprint("before", i), def: def, input: fmt.Sprintf(`{"order":%d}`, i)})
			n = n.crash()
			n.publish(fmt.Sprint(i), "paid", fmt.Sprintf(`{"order":%d}`, i))
			n = n.crash()
			n.publish(fmt.Sprint("k", i), "paid", fmt.Sprintf(`{"order":"k%d"}`, i))
			n = n.crash()
			n.mustSubmit(order{id: fmt.Sprint("after", i), def: def, input: fmt.Sprintf(`{"order":"k%d"}`, i)})
		}
		n = n.crash()
		n.drain()
		for i := range 5 {
			n.wantOutput(fmt.Sprint("before", i), fmt.Sprintf(`[{"order":%d}]`, i))
			n.wantOutput(fmt.Sprint("after", i), fmt.Sprintf(`[{"order":"k%d"}]`, i))
		}
	})
}

// Who is cancelled while it listens is forgotten, and what it was offered goes to others.
func TestListenCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		def := n.deploy("one", listenTo("{one: {with: {type: paid}}}"))
		timed := n.deploy("timed", "do: [{a: {listen: {to: {one: {with: {type: paid}}}}, timeout: {after: PT5S}}}]")
		n.mustSubmit(order{id: "a", def: def})
		n.mustSubmit(order{id: "t", def: timed})
		if err := n.cancel("a"); err != nil {
			t.Fatal(err)
		}
		settle()
		n.expect("a", cancelled)
		n.sleep(6 * time.Second)
		n.expect("t", faulted)
		n.publish("1", "paid", `1`)
		n.mustSubmit(order{id: "b", def: def})
		n.wantOutput("b", "[1]")
	})
}

// What an operator has go on listens anew, and publishes what it had not.
func TestListenReopened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		timed := n.deploy("timed", "do: [{a: {listen: {to: {one: {with: {type: paid}}}}, timeout: {after: PT5S}}}]")
		n.mustSubmit(order{id: "t", def: timed})
		n.sleep(6 * time.Second)
		n.expect("t", faulted)
		if err := n.operate("t", workflow.Reopen{How: journalv1.Reopening_REOPENING_RETRY}); err != nil {
			t.Fatal(err)
		}
		settle()
		n.publish("1", "paid", `1`)
		n.wantOutput("t", "[1]")
		beside := n.deploy("beside", "do: [{f: {fork: {branches: [{l: {listen: {to: {one: {with: {type: paid}}}}}}, {r: {raise: {error: {type: 'https://x/y', status: 500}}}}]}}}]")
		n.mustSubmit(order{id: "b", def: beside})
		n.sleep(time.Second)
		n.expect("b", faulted)
		err := n.operate("b", workflow.Reopen{How: journalv1.Reopening_REOPENING_SKIP, Task: "/do/0/f/fork/branches/1/r", Value: []byte(`2`)})
		if err != nil {
			t.Fatal(err)
		}
		settle()
		n = n.crash()
		n.publish("2", "paid", `1`)
		n.wantOutput("b", "[[1],2]")
		null := n.deploy("nothing", listenTo("{one: {with: {type: paid}, correlate: {o: {from: .data, expect: '${ .nothing }'}}}}"))
		n.mustSubmit(order{id: "n", def: null})
		n.expect("n", faulted)
	})
}

// An event that others have left goes to who has consumed a later one.
func TestLeftEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory, withEngine(actors.Config{Workflow: workflow.Limits{Behind: 1}}))
		slow := "do: [{a: {listen: {to: {any: [{with: {type: x}}], until: 'false'}}, foreach: {do: [{w: {wait: PT1H}}]}}}]"
		n.mustSubmit(order{id: "a", def: n.deploy("slow", slow)})
		for _, id := range []string{"1", "2", "3"} {
			n.publish(id, "x", id) // the third one has to wait, as the order is behind
		}
		n.mustSubmit(order{id: "b", def: n.deploy("two", listenTo("{any: [{with: {type: x}}], until: '(. | length) == 2'}"))})
		n.publish("4", "x", "4")
		n.expect("b", waiting)
		if err := n.cancel("a"); err != nil {
			t.Fatal(err)
		}
		n.sleep(2 * time.Second)
		n.expect("a", cancelled)
		n.wantOutput("b", "[4,3]")
	})
}
