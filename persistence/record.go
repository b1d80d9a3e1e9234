package persistence

import (
	"errors"
	"fmt"
	"iter"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// CheckRecord makes sure that this version can read a stored record, which begins at a version of an order, and counts its
// events. It fails with ErrFeatureLevel or ErrCorrupt.
func CheckRecord(h messages.Handle, first messages.Version, record []byte) (events int, err error) {
	level, events, err := rows.ScanRecord(record)
	switch {
	case err != nil:
	case level > NewestLevel:
		return 0, fmt.Errorf("%w: the record of order %s at version %d has level %d, this version knows %d",
			ErrFeatureLevel, h, first, level, NewestLevel)
	case events == 0:
		err = errors.New("record has no events")
	case first > math.MaxUint64-messages.Version(events): //nolint:gosec // not negative
		err = errors.New("versions end")
	}
	if err != nil {
		return 0, DecodeError(fmt.Sprintf("order %s at version %d", h, first), err)
	}
	return events, nil
}

// fieldEvents is that of the events in journalv1.Record.
const fieldEvents = 2

// Events returns the encoded events of an encoded journalv1.Record, so that only those that are wanted are decoded. They are
// parts of the record, and valid as long as that is. After an error the iteration ends.
func Events(record []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for b := record; len(b) > 0; {
			number, kind, n := protowire.ConsumeTag(b)
			var event []byte
			switch {
			case n < 0:
			case number == fieldEvents && kind == protowire.BytesType:
				b = b[n:]
				event, n = protowire.ConsumeBytes(b)
			default:
				b = b[n:]
				n = protowire.ConsumeFieldValue(number, kind, b)
			}
			if n < 0 {
				yield(nil, fmt.Errorf("record: %w", protowire.ParseError(n)))
				return
			}
			b = b[n:]
			if number == fieldEvents && kind == protowire.BytesType && !yield(event, nil) {
				return
			}
		}
	}
}
