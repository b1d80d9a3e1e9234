package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventv1"
)

func newEvent(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "event",
		Short: "Publish events for orders that listen for them",
		Long: "An event is a CloudEvent: something that has happened. Orders whose tasks listen for it get it, once each; if nobody\n" +
			"waits for it, it is kept for a while for those that come later.",
	}
	asGroup(cmd)
	a.clientFlags(cmd)
	cmd.AddCommand(newEventPublish(a), newEventHTTP(a))
	return cmd
}

// publishFlags say what to publish.
type publishFlags struct {
	namespace, from, data string
	event                 eventv1.Event
	extensions            []string
	keep                  time.Duration
}

func newEventPublish(a *app) *cobra.Command {
	var f publishFlags
	cmd := &cobra.Command{
		Use:   "publish --namespace NAMESPACE {--type TYPE --source URI [--data FILE] | --from FILE}",
		Short: "Publish an event, or many from a file",
		Long: "Publish an event in a namespace, for the orders of its definitions. It returns when the event is durable wherever\n" +
			"somebody may listen for it. To publish it again, by its source and id, changes nothing.\n\n" +
			"With --from it publishes many events, a CloudEvent in JSON in each line of a file, such as\n\n" +
			"  {\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/billing\",\"type\":\"com.example.paid\",\"data\":{\"order\":\"A-1\"}}",
		Example: "  echo '{\"order\":\"A-1\"}' | holdfast event publish --namespace telecom --type com.example.paid --source /billing --data -",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.namespace == "" {
				return usagef("--namespace is missing: name the namespace of the definitions that listen")
			}
			events, err := f.events(cmd.Context(), a)
			if err != nil {
				return err
			}
			return a.publish(cmd.Context(), &f, events)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.namespace, "namespace", "", "`namespace` of the definitions that listen")
	flags.StringVar(&f.event.Type, "type", "", "`type` of the event")
	flags.StringVar(&f.event.Source, "source", "", "`URI` of where it comes from")
	flags.StringVar(&f.event.Id, "id", "", "`id` of the event, its own among those of its source (made if not given)")
	flags.StringVar(&f.event.Subject, "subject", "", "`subject` of the event, what it is about at its source")
	flags.StringVar(&f.data, "data", "", "`file` with the event's data, a JSON value; - for the standard input")
	flags.StringArrayVar(&f.extensions, "extension", nil, "a further `attribute`, name=value; may be repeated")
	flags.DurationVar(&f.keep, "keep-for", 0, "how long it is kept if nobody waits for it (0: as long as the node keeps events)")
	flags.StringVar(&f.from, "from", "", "`file` with many events, one JSON object a line; - for the standard input")
	return cmd
}

// events makes the events that the flags mean.
func (f *publishFlags) events(ctx context.Context, a *app) ([]*eventv1.Event, error) {
	if f.from != "" {
		if proto.Size(&f.event) > 0 || f.data != "" || len(f.extensions) > 0 {
			return nil, usagef("--from excludes all that one event is made of: the lines of the file tell what the events are")
		}
		text, err := a.readFile(ctx, f.from)
		if err != nil {
			return nil, err
		}
		return eventLines(f.from, text)
	}
	if f.event.GetType() == "" || f.event.GetSource() == "" {
		return nil, usagef("--type or --source is missing: an event has both")
	}
	if f.event.GetId() == "" {
		f.event.Id = string(messages.NewOrderID())
	}
	var err error
	if f.event.Extensions, err = parsePairs("--extension", f.extensions); err != nil {
		return nil, err
	}
	if f.data != "" {
		if f.event.Data, err = a.readFile(ctx, f.data); err != nil {
			return nil, err
		}
		if err := checkJSON(f.data, f.event.GetData()); err != nil {
			return nil, err
		}
	}
	return []*eventv1.Event{&f.event}, nil
}

// eventLines reads the events of a file. Nothing is published if a line is wrong.
func eventLines(name string, text []byte) ([]*eventv1.Event, error) {
	var all []*eventv1.Event
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxInput)
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		e, err := client.EventOf(lines.Bytes())
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", name, n, err)
		}
		all = append(all, e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no events", name) //nolint:err113 // for people
	}
	return all, nil
}

// publishedAtOnce is how many events are published in one call.
const publishedAtOnce = 100

// publishedJSON tells of an event that was published.
type publishedJSON struct {
	ID     string `json:"id"`
	Source string `json:"source"`
	// Places is at how many places somebody may listen for it.
	Places uint32 `json:"places"`
}

func (a *app) publish(ctx context.Context, f *publishFlags, events []*eventv1.Event) error {
	c, err := a.dial()
	if err != nil {
		return err
	}
	defer c.close()
	unheard := 0
	for begin := 0; begin < len(events); begin += publishedAtOnce {
		batch := events[begin:min(begin+publishedAtOnce, len(events))]
		request := &eventv1.PublishRequest{Namespace: f.namespace, Events: batch}
		if f.keep != 0 {
			request.KeepFor = durationpb.New(f.keep)
		}
		bounded, cancel := a.bound(ctx)
		answer, err := c.Events().Publish(bounded, request)
		cancel()
		if err != nil {
			return advise(err, "Publish again, which does no harm with the same ids, from "+batch[0].GetId()+" on: nothing is published twice.")
		}
		for i, e := range batch {
			places := answer.GetPlaces()[i]
			if places == 0 {
				unheard++
			}
			if a.output == outputJSON {
				if err := a.printJSON(publishedJSON{e.GetId(), e.GetSource(), places}); err != nil {
					return err
				}
			}
		}
	}
	if a.output == outputJSON {
		return nil
	}
	text := fmt.Sprintf("%d events published", len(events))
	if len(events) == 1 {
		text = "event " + events[0].GetId() + " published"
	}
	if unheard > 0 {
		text += fmt.Sprintf("; %d of them nobody listens for: no definition of namespace %s does, and they are not kept", unheard, f.namespace)
	}
	if _, err = fmt.Fprintln(a.stdout, text); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}
