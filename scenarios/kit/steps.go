package kit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cucumber/godog"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// scenario is one that runs.
type scenario struct {
	system System
	fetch  client.Fetch

	end        func() error
	orders     orderv1.OrderServiceClient
	definition string
	refused    error // what the node says of the definition
	input      []byte
	order      *orderv1.Order
	output     any
	ran        []string // the names of tasks, as they were started
}

// patiently has calls be repeated while nodes are away: they may be killed again and again.
var patiently = client.Patiently(client.Patience{Most: 2 * time.Minute})

// errUnlike says what is not as the scenario has it.
var errUnlike = errors.New("it is not as the scenario says")

func unlike(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUnlike, fmt.Sprintf(format, args...))
}

// steps tells what the sentences of the scenarios mean.
func (s *scenario) steps(sc *godog.ScenarioContext) {
	for sentence, step := range map[string]any{
		`^a workflow with definition:$`:                                                   s.define,
		`^given the workflow input is:$`:                                                  s.given,
		`^the workflow is executed$`:                                                      s.execute,
		`^the workflow should complete$`:                                                  s.completes,
		`^the workflow should complete with output:$`:                                     s.completesWith,
		`^the workflow should fault$`:                                                     s.faults,
		`^the workflow should fault with error:$`:                                         s.faultsWith,
		`^the workflow output should have properties (.+)$`:                               s.hasAll,
		`^the workflow output should have an? '([^']+)' property with value:$`:            s.hasValue,
		`^the workflow output should have an? '([^']+)' property containing (\d+) items$`: s.hasItems,
		`^(\S+) should run first$`:                                                        s.runsFirst,
		`^(\S+) should run last$`:                                                         s.runsLast,
		`^(\S+) should run after (\S+)$`:                                                  s.runsAfter,
	} {
		sc.Step(sentence, step)
	}
}

func (s *scenario) define(ctx context.Context, document *godog.DocString) error {
	conn, end, err := s.system(ctx)
	if err != nil {
		return fmt.Errorf("begin a system: %w", err)
	}
	s.end, s.orders = end, conn.Orders()
	return s.deploy(ctx, conn, document.Content)
}

// deploy deploys a document. What is refused as it is not supported yet is to be seen so.
func (s *scenario) deploy(ctx context.Context, conn *client.Client, document string) error {
	deployed, err := conn.Deploy(ctx, &definitionv1.DeployRequest{Document: []byte(document)}, s.fetch, patiently)
	if status.Code(err) == codes.InvalidArgument && strings.Contains(err.Error(), "not supported yet") {
		s.refused = errors.New(status.Convert(err).Message())
		return godog.ErrPending
	}
	if err != nil {
		return fmt.Errorf("deploy: %w", err)
	}
	s.definition = messages.RefOf(deployed.GetDefinition()).String()
	return nil
}

func (s *scenario) given(_ context.Context, input *godog.DocString) error {
	v, err := parse(input.Content)
	if err != nil {
		return err
	}
	if s.input, err = json.Marshal(v); err != nil {
		return fmt.Errorf("write the input: %w", err)
	}
	return nil
}

// parse reads YAML as what JSON could say.
func parse(text string) (v any, err error) {
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("read %q: %w", text, err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", text, err)
	}
	return decode(raw)
}

func decode(raw []byte) (v any, err error) {
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&v); err != nil {
		return nil, fmt.Errorf("read %.200s: %w", raw, err)
	}
	return v, nil
}

// execute submits an order, waits for its end, and reads its history.
func (s *scenario) execute(ctx context.Context) error {
	ended, err := s.orders.Submit(ctx, &orderv1.SubmitRequest{
		Order: &orderv1.WorkOrder{Id: "kit", Definition: s.definition, Input: s.input}, Wait: orderv1.Wait_WAIT_ENDED,
	}, patiently)
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	s.order = ended.GetOrder()
	if raw := s.order.GetOutput(); len(raw) > 0 {
		if s.output, err = decode(raw); err != nil {
			return err
		}
	}
	history, err := stage.History(ctx, s.orders, s.order.GetId(), patiently)
	for _, e := range history {
		if e.GetEventType() == eventtype.TaskStarted {
			s.ran = append(s.ran, path.Base(e.GetTask()))
		}
	}
	return err
}

func (s *scenario) ends(as orderv1.Status) error {
	if s.order.GetStatus() != as {
		return unlike("the order is %v: %v", s.order.GetStatus(), s.order.GetError())
	}
	return nil
}

func (s *scenario) completes(context.Context) error { return s.ends(orderv1.Status_STATUS_COMPLETED) }

func (s *scenario) completesWith(ctx context.Context, output *godog.DocString) error {
	if err := s.completes(ctx); err != nil {
		return err
	}
	return same(output.Content, s.output)
}

func (s *scenario) faults(context.Context) error { return s.ends(orderv1.Status_STATUS_FAULTED) }

func (s *scenario) faultsWith(ctx context.Context, expected *godog.DocString) error {
	if err := s.faults(ctx); err != nil {
		return err
	}
	p := s.order.GetError()
	is := map[string]any{}
	for name, v := range map[string]string{
		"type": p.GetType(), "title": p.GetTitle(), "detail": p.GetDetail(), "instance": p.GetInstance(),
	} {
		if v != "" {
			is[name] = v
		}
	}
	is["status"] = float64(p.GetStatus())
	return same(expected.Content, is)
}

// same compares a value with what a scenario expects.
func same(expected string, is any) error {
	want, err := parse(expected)
	if err == nil && !reflect.DeepEqual(want, is) {
		err = unlike("%v is expected, but it is %v", want, is)
	}
	return err
}

// quoted is the name of a property.
var quoted = regexp.MustCompile(`'([^']+)'`)

func (s *scenario) hasAll(_ context.Context, names string) error {
	var missing []error
	for _, found := range quoted.FindAllStringSubmatch(names, -1) {
		_, err := s.property(found[1])
		missing = append(missing, err)
	}
	return errors.Join(missing...)
}

// property is one of the output; dots lead to those inside.
func (s *scenario) property(name string) (any, error) {
	v := s.output
	for part := range strings.SplitSeq(name, ".") {
		object, _ := v.(map[string]any)
		inner, has := object[part]
		if !has {
			return nil, unlike("the output %v has no %s", s.output, name)
		}
		v = inner
	}
	return v, nil
}

func (s *scenario) hasValue(_ context.Context, name string, value *godog.DocString) error {
	v, err := s.property(name)
	if err != nil {
		return err
	}
	return same(value.Content, v)
}

func (s *scenario) hasItems(_ context.Context, name string, count int) error {
	v, err := s.property(name)
	if err != nil {
		return err
	}
	if items, is := v.([]any); !is || len(items) != count {
		return unlike("%s is %v, and should have %d items", name, v, count)
	}
	return nil
}

func (s *scenario) runsFirst(_ context.Context, name string) error { return s.runsAt(name, 0) }

func (s *scenario) runsLast(_ context.Context, name string) error {
	return s.runsAt(name, len(s.ran)-1)
}

func (s *scenario) runsAt(name string, index int) error {
	if slices.Index(s.ran, name) != index {
		return unlike("the tasks ran as %v", s.ran)
	}
	return nil
}

func (s *scenario) runsAfter(_ context.Context, later, earlier string) error {
	first, second := slices.Index(s.ran, earlier), slices.Index(s.ran, later)
	if first < 0 || second < first {
		return unlike("the tasks ran as %v", s.ran)
	}
	return nil
}
