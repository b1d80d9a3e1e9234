package checker

import "context"

// Measure reads as Files does, and returns what is held meanwhile.
func Measure(ctx context.Context, log, histories string) (any, error) {
	c := &check{keys: map[id]state{}, versions: map[id]uint64{}, report: &Report{}}
	if err := readLines(ctx, histories, c.event); err != nil {
		return nil, err
	}
	return c, readLines(ctx, log, c.request)
}
