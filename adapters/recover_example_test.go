package adapters_test //nolint:testableexamples // it would run until it is ended

import (
	"context"
	"errors"

	"github.com/holdfast-run/holdfast/adapters"
)

// register is a downstream system that can be asked what it did under a key.
type register struct{ byKey map[string]Profile }

var errUnknownKey = errors.New("nothing was done under this key")

func (r *register) create(key string, s Subscriber) Profile {
	p := Profile{ID: "profile-of-" + s.IMSI}
	r.byKey[key] = p
	return p
}

func (r *register) find(key string) (Profile, error) {
	if p, ok := r.byKey[key]; ok {
		return p, nil
	}
	return Profile{}, errUnknownKey
}

// An activity that is not idempotent, and finds out what came of work that may have been begun before.
func ExampleRecover() {
	hss := &register{byKey: make(map[string]Profile)}
	create := func(_ context.Context, t adapters.Task, in Subscriber) (Profile, error) {
		return hss.create(t.Key, in), nil
	}
	find := func(_ context.Context, t adapters.Task, _ Subscriber) (Profile, error) {
		p, err := hss.find(t.Key)
		if errors.Is(err, errUnknownKey) {
			return Profile{}, adapters.ErrNotDone // nothing came of it: create is called now
		}
		return p, err // done, or still in doubt
	}
	a := adapters.New("hss")
	adapters.Handle(a, "createSubscriber", create, adapters.Concurrency(1), adapters.Recover(find))
	adapters.Main(a)
}
