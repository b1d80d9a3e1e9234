package adapters_test //nolint:testableexamples // it would run until it is ended

import (
	"context"
	"fmt"

	"github.com/holdfast-run/holdfast/adapters"
)

type Subscriber struct {
	IMSI   string `json:"imsi"`
	MSISDN string `json:"msisdn"`
}

type Profile struct {
	ID string `json:"id"`
}

// The body of an adapter's main.
func Example() {
	a := adapters.New("hss")
	adapters.Handle(a, "createSubscriber", createSubscriber, adapters.Idempotent(), adapters.Concurrency(8))
	adapters.Main(a)
}

func createSubscriber(_ context.Context, t adapters.Task, in Subscriber) (Profile, error) {
	if in.IMSI == "" {
		return Profile{}, adapters.Permanent(adapters.Problem{
			Type: adapters.ErrorTypeValidation, Status: 400, Detail: "imsi is missing",
		})
	}
	// The real one passes t.Key to the HSS, as the idempotency key of its request.
	return Profile{ID: fmt.Sprintf("profile-of-%s-%s", in.IMSI, t.Key)}, nil
}
