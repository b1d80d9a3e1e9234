package persistence

import (
	"fmt"
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

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
