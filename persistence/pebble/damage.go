package pebble

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-run/holdfast/persistence"
)

// The engine takes an unreadable end of its newest log, and of its manifest, for a torn write and drops it; its own
// check for damage there looks only for later blocks that promise an earlier sync. What is written here allows more:
//
//   - A write begins only when the one before it is durable. So if any record begins behind an unreadable place, that place
//     was durable once, and is damaged.
//   - A log ends with a mark before another one is begun. So if an older one that is still needed has no such end, its end
//     is gone.
//   - The file HOLDFAST notes how far the logs and the manifest were durable, soon after they have grown. So if less than
//     that can be read, what is missing was durable once.

// damage is a place that is damaged. It is a persistence.ErrCorrupt.
type damage struct {
	file   string
	offset int64
	what   error
}

func (d *damage) Error() string { return fmt.Sprintf("%v: %s", persistence.ErrCorrupt, d.place()) }

// place tells where the damage is, and what.
func (d *damage) place() string { return fmt.Sprintf("%s at offset %d: %v", d.file, d.offset, d.what) }

func (d *damage) Unwrap() []error { return []error{persistence.ErrCorrupt, d.what} }

// engineBlock is how the engine names a damaged block of a table. The number of the file is missing when it was not told.
var engineBlock = regexp.MustCompile(`file (\d+): block (\d+)/\d+: ?(.*)`)

// damagedBlock returns the place that an error of the engine is about; nil if it tells none.
func damagedBlock(err error) *damage {
	found := engineBlock.FindStringSubmatch(engineText(err))
	if found == nil {
		return nil
	}
	offset, _ := strconv.ParseInt(found[2], 10, 64) // The engine printed one.
	return &damage{found[1] + ".sst", offset, errors.New(found[3])}
}

// engineText is an error of the engine without the mark that it bears for programs.
func engineText(err error) string {
	return strings.ReplaceAll(err.Error(), "\n<corruption detail carrier>", "")
}

var (
	// engineMissing is how the engine tells that a table is missing.
	engineMissing = regexp.MustCompile(`file (\d+) \(type sstable\) unknown to the objstorage provider`)
	// engineSize is how it tells that a table has another size than it had.
	engineSize = regexp.MustCompile(`object size mismatch \(([^)]+)\): (\d+) \(disk\) != (\d+) \(MANIFEST\)`)
)

// damagedFile returns the table that an error of the engine says is not whole; nil if it says that of none.
func damagedFile(err error) *damage {
	text := err.Error()
	if found := engineMissing.FindStringSubmatch(text); found != nil {
		return &damage{found[1] + ".sst", 0, errMissing}
	}
	if found := engineSize.FindStringSubmatch(text); found != nil {
		had, _ := strconv.ParseInt(found[3], 10, 64) // The engine printed it,
		has, _ := strconv.ParseInt(found[2], 10, 64) // and this.
		return &damage{path.Base(found[1]), min(has, had), fmt.Errorf("the file has %d bytes, and should have %d", has, had)}
	}
	return nil
}

// errMissing says what is wrong with a file that is not there.
var errMissing = errors.New("the file is missing")

// footerSize is the size of the end of a table, from which it is read.
const footerSize = 57

// damagedTable says where a table of the given name and size is damaged.
func damagedTable(name string, size int64, err error) error {
	d := damagedBlock(err)
	if d == nil {
		d = &damage{offset: max(0, size-footerSize), what: err}
	}
	d.file = name
	return d
}

// chunked is how a file of the engine is cut into chunks. Chunks don't cross blocks of 32 KiB; what is too short for a chunk
// at the end of a block is zero. A record is one or more chunks; a chunk begins with checksum (4), length (2), type (1).
type chunked struct {
	header int
	// begins are the types of a chunk that begins a record; types the least and greatest of all.
	begins [2]byte
	types  [2]byte
	// number is the log's number, which each chunk of a log bears behind its type.
	number   uint32
	numbered bool
}

const (
	blockSize      = 32 << 10
	checksumOffset = 6 // The checksum covers what follows the length.
	numberOffset   = 7
	// endMark is the type of the mark at the end of a log, and endMarkSize its length.
	endMark     = 5
	endMarkSize = 11
)

func manifestChunks() chunked {
	return chunked{header: 7, begins: [2]byte{1, 2}, types: [2]byte{1, 4}}
}

// logChunks returns the kinds of chunks that a log may have. A log has one kind from its beginning to its end: that of the
// engine's format when it was begun, and the engine begins each new store in an old format.
func logChunks(number uint64) []chunked {
	n := uint32(number) //nolint:gosec // only the low half of the number is written
	return []chunked{
		{header: 19, begins: [2]byte{9, 10}, types: [2]byte{9, 12}, number: n, numbered: true},
		{header: 11, begins: [2]byte{5, 6}, types: [2]byte{5, 8}, number: n, numbered: true},
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// at returns the length of the chunk that b begins with, header included, and whether it begins a record; 0 if there is
// no valid chunk.
func (f chunked) at(b []byte) (length int, begins bool) {
	if len(b) < f.header {
		return 0, false
	}
	kind := b[checksumOffset]
	if kind < f.types[0] || kind > f.types[1] {
		return 0, false
	}
	if f.numbered && binary.LittleEndian.Uint32(b[numberOffset:]) != f.number {
		return 0, false
	}
	length = f.header + int(binary.LittleEndian.Uint16(b[4:]))
	if length > len(b) {
		return 0, false
	}
	sum := crc32.Checksum(b[checksumOffset:length], castagnoli)
	if binary.LittleEndian.Uint32(b) != sum>>15|sum<<17+0xa282ead8 {
		return 0, false
	}
	return length, kind == f.begins[0] || kind == f.begins[1]
}

// ends tells whether b begins with the mark that a log ends with: a chunk of the number behind its own, without a checksum.
func (f chunked) ends(b []byte) bool {
	mark := [endMarkSize]byte{checksumOffset: endMark}
	binary.LittleEndian.PutUint32(mark[numberOffset:], f.number+1)
	return f.numbered && bytes.HasPrefix(b, mark[:])
}

// next returns the first place from i on where a chunk may begin; only its number is looked at.
func (f chunked) next(b []byte, i int) int {
	if !f.numbered {
		return i
	}
	var number [4]byte
	binary.LittleEndian.PutUint32(number[:], f.number)
	at := bytes.Index(b[min(i+numberOffset, len(b)):], number[:])
	if at < 0 {
		return len(b)
	}
	return i + at
}

// extent is what the chunks of a file tell of it.
type extent struct {
	// readable is where the first unreadable place is, or the length of the file.
	readable int64
	// ended tells that a log ends there as it should.
	ended bool
	// behind is where the first record behind readable begins; 0 if there is none.
	behind int64
}

// scan reads a file to its end, or to the first record behind an unreadable place.
func (f chunked) scan(r io.Reader) (e extent, err error) {
	block, whole := make([]byte, blockSize), true
	for start := int64(0); ; start += blockSize {
		n, err := io.ReadFull(r, block)
		if errors.Is(err, io.EOF) {
			if whole {
				e.readable = start
			}
			return e, nil
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return e, err //nolint:wrapcheck // the caller says of what
		}
		i := 0
		stop := func() {
			if whole {
				e.readable, e.ended, whole = start+int64(i), f.ends(block[i:n]), false
			}
		}
		for i+f.header <= n {
			length, begins := f.at(block[i:n])
			switch {
			case length == 0:
				stop()
				i = f.next(block[:n], i+1)
			case begins && !whole:
				e.behind = start + int64(i)
				return e, nil
			default:
				i += length
			}
		}
		if n < blockSize || slices.ContainsFunc(block[min(i, n):n], func(b byte) bool { return b != 0 }) {
			stop()
		}
	}
}

// check fails with ErrCorrupt if a file can be read less far than it was durable; length is what is known of that.
func (e extent) check(name string, length int64) error {
	switch {
	case e.behind > 0:
		return &damage{name, e.readable, fmt.Errorf("unreadable, but was durable: a record follows at %d", e.behind)}
	case !e.ended && e.readable < length:
		return &damage{name, e.readable, fmt.Errorf("unreadable, but was durable: it was noted to be, up to %d", length)}
	default:
		return nil
	}
}

// scanFile scans a file of one kind of chunks, of several possible ones.
func scanFile(fs vfs.FS, name string, kinds ...chunked) (found extent, err error) {
	for _, kind := range kinds {
		file, err := fs.Open(name, vfs.SequentialReadsOption)
		if err != nil {
			return found, fmt.Errorf("open %s: %w", name, err)
		}
		e, err := kind.scan(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return found, fmt.Errorf("read %s: %w", name, err)
		}
		// Of another kind than its own nothing can be read.
		if e.behind > 0 || e.readable > found.readable || e.ended {
			found = e
		}
	}
	return found, nil
}

// logNumber returns the number of a log, by the name of its file.
func logNumber(name string) (number uint64, isLog bool) {
	base, isLog := strings.CutSuffix(name, ".log")
	number, err := strconv.ParseUint(base, 10, 64)
	return number, isLog && err == nil
}

// checkLogs looks for damage in the logs that are to be replayed: from the number oldest on. noted is how far logs were
// durable.
func checkLogs(fs vfs.FS, dir string, oldest uint64, noted []logEnd) error {
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	needed := func(name string) bool {
		number, isLog := logNumber(name)
		return isLog && number >= oldest
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !needed(name) })
	// There is one more log for each table in memory that waits to be written, and few of those.
	slices.SortFunc(names, func(a, b string) int {
		x, _ := logNumber(a)
		y, _ := logNumber(b)
		return cmp.Compare(x, y)
	})
	durable := make(map[string]int64, len(noted))
	for _, log := range noted {
		durable[log.name] = log.length
		if needed(log.name) && !slices.Contains(names, log.name) {
			return &damage{log.name, 0, fmt.Errorf("the log is missing: it was noted to be durable up to %d", log.length)}
		}
	}
	for i, name := range names {
		number, _ := logNumber(name)
		e, err := scanFile(fs, fs.PathJoin(dir, name), logChunks(number)...)
		if err != nil {
			return err
		}
		if err := e.check(name, durable[name]); err != nil {
			return err
		}
		if i < len(names)-1 && !e.ended {
			return &damage{name, e.readable, fmt.Errorf("unreadable, but was durable: its end, behind which %s was begun, is missing", names[i+1])}
		}
	}
	return nil
}

// oldestLog returns the number of the oldest log that is to be replayed, which is in the last entry of the manifest that
// has one. It is among the first fields of an entry.
func oldestLog(fs vfs.FS, name string) (oldest uint64, err error) {
	const comparer, log = 1, 2 // Tags of fields: a name, and a number.
	file, err := fs.Open(name, vfs.SequentialReadsOption)
	if err != nil {
		return 0, fmt.Errorf("open the manifest: %w", err)
	}
	defer func() { _ = file.Close() }() // Only read.
	for records := record.NewReader(file, 0); ; {
		var entry []byte
		r, err := records.Next()
		if err == nil {
			entry, err = io.ReadAll(r)
		}
		if errors.Is(err, io.EOF) || record.IsInvalidRecord(err) {
			return oldest, nil // The engine reads no farther, either.
		}
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", name, err)
		}
		tag, n := binary.Uvarint(entry)
		if n > 0 && tag == comparer {
			length, m := binary.Uvarint(entry[n:])
			rest := entry[n+max(m, 0):]
			if m <= 0 || length > uint64(len(rest)) {
				return 0, persistence.DecodeError(path.Base(name), errors.New("an entry ends too early"))
			}
			entry = rest[length:]
			tag, n = binary.Uvarint(entry)
		}
		if n > 0 && tag == log {
			if oldest, n = binary.Uvarint(entry[n:]); n <= 0 {
				return 0, persistence.DecodeError(path.Base(name), errors.New("an entry ends too early"))
			}
		}
	}
}

// checkOptions reads the file in which the engine notes its options, for the engine does not say which file it can't read,
// nor where. What is in it changes nothing but whether the engine takes the directory for its own.
func checkOptions(fs vfs.FS, dir, name string) error {
	b, err := readFile(fs, name)
	if err != nil {
		return err
	}
	o := &pebble.Options{FS: fs}
	o.EnsureDefaults()
	all := o.CheckCompatibility(dir, string(b))
	if all == nil {
		return nil
	}
	offset := 0
	for line := range bytes.Lines(b) {
		if o.CheckCompatibility(dir, string(b[:offset+len(line)])) != nil {
			break
		}
		offset += len(line)
	}
	return &damage{path.Base(name), int64(offset), all}
}
