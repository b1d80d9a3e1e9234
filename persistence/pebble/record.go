package pebble

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// recordBounds returns the range of keys of an order's history.
func recordBounds(h messages.Handle) (lower, upper []byte) {
	lower = append(append(make([]byte, 0, 1+handleSize), kindRecord), h[:]...)
	return lower, successor(slices.Clone(lower))
}

// lastVersion reads the version of an order's last event; 0 if it has none.
func lastVersion(db pebble.Reader, h messages.Handle) (last messages.Version, err error) {
	lower, upper := recordBounds(h)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return 0, readError("read the history of order "+h.String(), err)
	}
	defer func() { err = errors.Join(err, readError("read the history of order "+h.String(), it.Close())) }()
	if !it.Last() {
		return 0, nil
	}
	_, first, err := parseRecordKey(it.Key())
	if err != nil {
		return 0, persistence.DecodeError("order "+h.String(), err)
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return 0, readError("read the history of order "+h.String(), err)
	}
	events, err := persistence.CheckRecord(h, first, value)
	if err != nil {
		return 0, err
	}
	return first + messages.Version(events) - 1, nil //nolint:gosec // at least 1
}
