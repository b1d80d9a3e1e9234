package constructs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// judge compares what has come of an order with what the case says.
func (r *Running) judge(ctx context.Context, order *orderv1.Order) error {
	history, err := r.history(ctx)
	if err != nil {
		return err
	}
	var ran []string
	for i, e := range history {
		if e.GetVersion() != uint64(i+1) {
			return unlike("event %d of the history has the version %d", i+1, e.GetVersion())
		}
		if e.GetEventType() == eventtype.TaskStarted {
			ran = append(ran, path.Base(e.GetTask()))
		}
	}
	var labels []error
	for _, label := range r.Labels {
		if name, value, _ := strings.Cut(label, "="); order.GetLabels()[name] != value {
			labels = append(labels, unlike("the labels are %v", order.GetLabels()))
		}
	}
	return errors.Join(append(labels, r.ended(order), r.took(ran), r.did(r.Log.Of(order.GetId())))...)
}

// ended compares how an order has ended.
func (w *Want) ended(order *orderv1.Order) error {
	if order.GetStatus() != w.status() {
		return unlike("the order is %v: %v", order.GetStatus(), order.GetError())
	}
	if is := order.GetError(); w.Fault != nil {
		f := w.Fault
		if !strings.HasSuffix(is.GetType(), f.Type) || is.GetStatus() != f.Status || f.Title != "" && is.GetTitle() != f.Title ||
			f.Detail != "" && is.GetDetail() != f.Detail {
			return unlike("the error is %v", is)
		}
	}
	if w.Output == "" {
		return nil
	}
	return w.left(order.GetOutput())
}

// left compares an output.
func (w *Want) left(output []byte) error {
	var want, is any
	if err := json.Unmarshal([]byte(w.Output), &want); err != nil {
		return fmt.Errorf("the case says %s: %w", w.Output, err)
	}
	if err := json.Unmarshal(output, &is); err != nil {
		return unlike("the output is %q", output)
	}
	if w.Part && !within(want, is) || !w.Part && !reflect.DeepEqual(want, is) {
		return unlike("the output is %s", output)
	}
	return nil
}

// within tells whether all of a value is in another one, whose objects may have more properties.
func within(want, is any) bool {
	switch want := want.(type) {
	case map[string]any:
		object, _ := is.(map[string]any)
		for name, v := range want {
			if inner, has := object[name]; !has || !within(v, inner) {
				return false
			}
		}
		return object != nil
	case []any:
		list, _ := is.([]any)
		return list != nil && len(list) == len(want) && each(want, list)
	}
	return reflect.DeepEqual(want, is)
}

func each(want, is []any) bool {
	for i, v := range want {
		if !within(v, is[i]) {
			return false
		}
	}
	return true
}

// took compares the tasks in the order in which they were started.
func (w *Want) took(ran []string) error {
	if w.Path == "" {
		return nil
	}
	want := strings.Split(w.Path, ">")
	if w.Beside {
		slices.Sort(want)
		slices.Sort(ran)
	}
	if !slices.Equal(want, ran) {
		return unlike("the tasks ran as %v", ran)
	}
	return nil
}

// repeatable are the methods of requests that may be sent again, if nobody knows whether they were.
var repeatable = []string{"GET ", "PUT ", "HEAD ", "DELETE ", "OPTIONS "}

// did compares what was done. What can be repeated may have been, in a row.
func (w *Want) did(lines []string) error {
	once := func(a, b string) bool {
		return a == b && slices.ContainsFunc(repeatable, func(method string) bool { return strings.HasPrefix(a, method) })
	}
	is := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return w.Perhaps != "" && l == w.Perhaps })
	is, want := slices.CompactFunc(is, once), slices.CompactFunc(slices.Clone(w.Did), once)
	if w.Beside {
		slices.Sort(want)
		slices.Sort(is)
	}
	if !slices.Equal(want, is) {
		return unlike("it did %q", lines)
	}
	return nil
}
