package rows

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of journalv1.Record.
const (
	fieldFeatureLevel = 1
	fieldEvents       = 2
)

// ScanRecord reads the feature level of an encoded journalv1.Record and counts its events, without decoding them.
func ScanRecord(b []byte) (level uint64, events int, err error) {
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
