package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-run/holdfast/persistence"
)

// The engine takes an unreadable end of its newest log, and of its manifest, for a torn write and drops it; its own
// check for damage there looks only for later blocks that promise an earlier sync. What is written here allows more:
// a write begins only when the one before it is durable. So if any write begins behind an unreadable place, that place
// was durable once, and is damaged. When nothing is to be written for a while, the committer begins an empty write, and
// the file HOLDFAST notes what the manifest has; so the last write is guarded, too, soon after.

// damage is a place that is damaged. It is a persistence.ErrCorrupt.
type damage struct {
	file   string
	offset int64
	what   error
}

func (d *damage) Error() string {
	return fmt.Sprintf("%v: %s at offset %d: %v", persistence.ErrCorrupt, d.file, d.offset, d.what)
}

func (d *damage) Unwrap() []error { return []error{persistence.ErrCorrupt, d.what} }

// engineBlock is how the engine names a damaged block of a table. The number of the file is missing when it was not told.
var engineBlock = regexp.MustCompile(`file (\d+): block (\d+)/\d+`)

// damagedBlock returns the place that an error of the engine is about; nil if it tells none.
func damagedBlock(err error) *damage {
	found := engineBlock.FindStringSubmatch(err.Error())
	if found == nil {
		return nil
	}
	offset, _ := strconv.ParseInt(found[2], 10, 64) // The engine printed one.
	return &damage{found[1] + ".sst", offset, err}
}

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

// chunked is how a file of the engine is cut into chunks. Chunks don't cross blocks of 32 KiB; a record is one or more
// chunks; a chunk begins with checksum (4), length (2), type (1).
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
)

func manifestChunks() chunked {
	return chunked{header: 7, begins: [2]byte{1, 2}, types: [2]byte{1, 4}}
}

func logChunks(number uint64) chunked {
	// Only the low half of the number is written.
	return chunked{
		header: 19, begins: [2]byte{9, 10}, types: [2]byte{9, 12},
		number: uint32(number), numbered: true, //nolint:gosec // see above
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

// unreadable returns the first offset of a file where no chunk can be read, or its length.
func (f chunked) unreadable(r io.Reader) (int64, error) {
	block := make([]byte, blockSize)
	for start := int64(0); ; start += blockSize {
		n, err := io.ReadFull(r, block)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			if errors.Is(err, io.EOF) {
				return start, nil
			}
			return 0, err //nolint:wrapcheck // the caller says of what
		}
		i := 0
		for i+f.header <= n {
			length, _ := f.at(block[i:n])
			if length == 0 {
				return start + int64(i), nil
			}
			i += length
		}
		if n < blockSize {
			return start + int64(i), nil
		}
	}
}

// checkChunks reads a file to its end. It fails with ErrCorrupt if a record begins behind an unreadable place.
func checkChunks(r io.Reader, name string, f chunked) error {
	block := make([]byte, blockSize)
	unreadable := int64(-1)
	for start := int64(0); ; start += blockSize {
		n, err := io.ReadFull(r, block)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read %s: %w", name, err)
		}
		for i := 0; i+f.header <= n; {
			length, begins := f.at(block[i:n])
			switch {
			case length > 0 && begins && unreadable >= 0:
				return &damage{name, unreadable, fmt.Errorf("unreadable, but was durable: a record follows at %d", start+int64(i))}
			case length > 0:
				i += length
			default:
				if unreadable < 0 {
					unreadable = start + int64(i)
				}
				i = f.next(block[:n], i+1)
			}
		}
	}
}

// checkNewestLog looks for damage in the log whose end the engine forgives.
func checkNewestLog(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	newest, log := uint64(0), ""
	for _, name := range names {
		base, isLog := strings.CutSuffix(name, ".log")
		number, err := strconv.ParseUint(base, 10, 64)
		if isLog && err == nil && number >= newest {
			newest, log = number, name
		}
	}
	if log == "" {
		return nil
	}
	return checkFile(fs, fs.PathJoin(dir, log), logChunks(newest))
}

func checkFile(fs vfs.FS, name string, f chunked) error {
	file, err := fs.Open(name, vfs.SequentialReadsOption)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	defer func() { _ = file.Close() }() // Only read.
	return checkChunks(file, path.Base(name), f)
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
