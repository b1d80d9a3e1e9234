package pebble

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// The fields of journalv1.Record.
const (
	fieldFeatureLevel = 1
	fieldEvents       = 2
)

// scanRecord reads the feature level of a record and counts its events, without decoding them.
func scanRecord(b []byte) (level uint64, events int, err error) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, 0, fmt.Errorf("record: %w", protowire.ParseError(n))
		}
		b = b[n:]
		switch {
		case number == fieldFeatureLevel && kind == protowire.VarintType:
			level, n = protowire.ConsumeVarint(b)
		case number == fieldEvents && kind == protowire.BytesType:
			_, n = protowire.ConsumeBytes(b)
			events++
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return 0, 0, fmt.Errorf("record: %w", protowire.ParseError(n))
		}
		b = b[n:]
	}
	return level, events, nil
}

// checkRecord is scanRecord, with the errors of the contract.
func checkRecord(h messages.Handle, first messages.Version, b []byte) (events int, err error) {
	level, events, err := scanRecord(b)
	switch {
	case err != nil:
	case level > persistence.FeatureLevel:
		return 0, fmt.Errorf("%w: the record of order %s at version %d has level %d, this version knows %d",
			persistence.ErrFeatureLevel, h, first, level, persistence.FeatureLevel)
	case events == 0:
		err = errors.New("record has no events")
	case first > math.MaxUint64-messages.Version(events): //nolint:gosec // not negative
		err = errors.New("versions end")
	}
	if err != nil {
		return 0, persistence.DecodeError(fmt.Sprintf("order %s at version %d", h, first), err)
	}
	return events, nil
}

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
		return 0, engineError("read the history of order "+h.String(), err)
	}
	defer func() { err = errors.Join(err, engineError("read the history of order "+h.String(), it.Close())) }()
	if !it.Last() {
		return 0, nil
	}
	_, first, err := parseRecordKey(it.Key())
	if err != nil {
		return 0, persistence.DecodeError("order "+h.String(), err)
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return 0, engineError("read the history of order "+h.String(), err)
	}
	events, err := checkRecord(h, first, value)
	if err != nil {
		return 0, err
	}
	return first + messages.Version(events) - 1, nil //nolint:gosec // at least 1
}

// versionCache keeps the last versions of orders that were committed lately. It has two generations: when the young one
// has half the bound, it becomes the old one, which is dropped. That happens between batches only, because the store
// does not show what is in a batch: the bound may be exceeded by one batch.
type versionCache struct {
	half       int
	young, old map[messages.Handle]messages.Version
	ended      []messages.Handle
}

func newVersionCache(bound int) *versionCache {
	return &versionCache{
		half:  max(1, bound/2),
		young: make(map[messages.Handle]messages.Version),
		old:   make(map[messages.Handle]messages.Version),
	}
}

func (v *versionCache) get(h messages.Handle) (messages.Version, bool) {
	if last, known := v.young[h]; known {
		return last, true
	}
	last, known := v.old[h]
	return last, known
}

// set notes the last version of an order, and whether the order is not expected to have more.
func (v *versionCache) set(h messages.Handle, last messages.Version, ended bool) {
	v.young[h] = last
	if ended {
		v.ended = append(v.ended, h)
	}
}

// trim keeps the bound. It must be called only when the store shows everything that was set.
func (v *versionCache) trim() {
	for _, h := range v.ended {
		delete(v.young, h)
		delete(v.old, h)
	}
	v.ended = v.ended[:0]
	if len(v.young) >= v.half {
		clear(v.old)
		v.young, v.old = v.old, v.young
	}
}
