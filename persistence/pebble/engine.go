package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/holdfast-run/holdfast/persistence"
)

// engineFormat is the format of the engine's files: with the offset of the last sync in each chunk of the log, and
// checksums over all parts of a table.
const engineFormat = pebble.FormatTableFormatV6

// engineOptions tunes the engine for keys that are appended, mostly written, and seldom read back. The engine calls grew
// when its manifest has grown; it must not block.
func engineOptions(c Config, logger engineLogger, grew func()) *pebble.Options {
	o := &pebble.Options{
		FS:                          withWholeLogs(c.FS),
		FormatMajorVersion:          engineFormat,
		CacheSize:                   c.CacheBytes,
		MemTableSize:                uint64(c.MemTableBytes), //nolint:gosec // validated
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               256 << 20,
		MaxOpenFiles:                c.MaxOpenFiles,
		CompactionConcurrencyRange:  func() (int, int) { return 1, c.MaxCompactions },
		Logger:                      logger,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				logger.log(slog.LevelError, "journal: work in the background failed; it is tried again", err)
			},
			// Whoever reads the place gets the error as well.
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				logger.log(slog.LevelError, "journal is damaged: "+info.Path, info.Details)
			},
			WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
				logger.log(slog.LevelWarn, "journal: commits wait for tables to be written: "+info.Reason, nil)
			},
			WriteStallEnd: func() {},
			FlushEnd:      func(pebble.FlushInfo) { grew() },
			CompactionEnd: func(pebble.CompactionInfo) { grew() },
		},
	}
	o.TargetFileSizes[0] = 8 << 20
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = rowFilter{bloom.FilterPolicy(10)}
		o.Levels[i].BlockSize = 16 << 10
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.FastestCompression }
	}
	// Tables end where a kind of keys ends, so that tables of appended keys don't overlap others and need no merging.
	o.Experimental.SpanPolicyFunc = func(start []byte) (pebble.SpanPolicy, []byte, error) {
		return pebble.SpanPolicy{}, successor(slices.Clone(start[:1])), nil
	}
	// Nothing reads so much that it would pay to merge for it.
	o.Experimental.ReadSamplingMultiplier = -1
	return o
}

// rowFilter is a Bloom filter that leaves out the keys of records, which are never looked up alone.
type rowFilter struct{ pebble.FilterPolicy }

func (f rowFilter) Name() string { return "holdfast.rows." + f.FilterPolicy.Name() }

func (f rowFilter) MayContain(t pebble.FilterType, filter, key []byte) bool {
	return key[0] == kindRecord || f.FilterPolicy.MayContain(t, filter, key)
}

func (f rowFilter) NewWriter(t pebble.FilterType) pebble.FilterWriter {
	return rowFilterWriter{f.FilterPolicy.NewWriter(t)}
}

type rowFilterWriter struct{ pebble.FilterWriter }

func (w rowFilterWriter) AddKey(key []byte) {
	if key[0] != kindRecord {
		w.FilterWriter.AddKey(key)
	}
}

// engineLogger passes on what the engine says.
type engineLogger struct {
	*slog.Logger

	dir string
	// fail is called when the engine can't go on.
	fail func(error)
}

func (l engineLogger) log(level slog.Level, message string, err error) {
	attrs := []slog.Attr{slog.String("dir", l.dir)}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error())) // Else its stack would be logged, too.
	}
	l.LogAttrs(context.Background(), level, message, attrs...) //nolint:sloglint // the words are the engine's
}

func (l engineLogger) Infof(format string, args ...any) {
	if l.Enabled(context.Background(), slog.LevelDebug) {
		l.log(slog.LevelDebug, fmt.Sprintf(format, args...), nil)
	}
}

func (l engineLogger) Errorf(format string, args ...any) {
	l.log(slog.LevelError, fmt.Sprintf(format, args...), nil)
}

func (l engineLogger) Fatalf(format string, args ...any) { l.fail(fmt.Errorf(format, args...)) }

// readError says what an error of the engine means for who reads. What is neither damage nor the end of the journal or of the call
// may pass.
func readError(doing string, err error) error {
	told := engineError(doing, err)
	for _, known := range []error{persistence.ErrCorrupt, persistence.ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if told == nil || errors.Is(told, known) {
			return told
		}
	}
	return fmt.Errorf("%w: %w", persistence.ErrUnavailable, told)
}

// engineError says what an error of the engine means for the journal.
func engineError(doing string, err error) error {
	if err == nil {
		return nil
	}
	switch d := damagedFile(err); {
	case d != nil:
		return fmt.Errorf("%s: %w", doing, d)
	case pebble.IsCorruptionError(err):
		if d := damagedBlock(err); d != nil {
			return fmt.Errorf("%s: %w", doing, d)
		}
		return persistence.DecodeError(doing, err)
	case errors.Is(err, pebble.ErrClosed):
		return fmt.Errorf("%s: %w", doing, persistence.ErrClosed)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}
