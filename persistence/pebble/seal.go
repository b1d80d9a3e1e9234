package pebble

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-run/holdfast/persistence"
)

// format is the version of what is stored in the directory.
const format = 2

// sealName is the file that makes a directory a journal's.
const sealName = "HOLDFAST"

// lockName is the file by whose lock the engine has a directory for itself.
const lockName = "LOCK"

// newSuffix ends the name of what is to replace it.
const newSuffix = ".new"

// state is what a journal's directory is in; doc.go shows the order.
type state string

const (
	stateNew      state = "" // There is no journal yet.
	stateCreating state = "creating"
	stateOpen     state = "open"
	stateSealed   state = "sealed"
	stateCopy     state = "copy"  // Of a journal, by its backup, whose id is the note.
	stateMoved    state = "moved" // To PostgreSQL; the note says where, and when.
)

// seal is the content of the file HOLDFAST.
type seal struct {
	state state
	// note is what a state has to say.
	note string
	// manifest is what the engine's manifest began with when the file was written; if sealed, all of it. Its name is
	// empty if that is not known.
	manifest manifest
	// logs are how far the logs were durable then. Those that are not named, or are older than the manifest needs, may be
	// missing.
	logs []logEnd
}

// logEnd is how far a log is durable.
type logEnd struct {
	name   string
	length int64
}

// manifest describes the first length bytes of a manifest.
type manifest struct {
	name   string
	length int64
	sum    uint64
}

func (s seal) encode() []byte {
	b := fmt.Appendf(nil, "holdfast journal %d\nstate %s\n", format, strings.TrimSuffix(string(s.state)+" "+s.note, " "))
	if m := s.manifest; m.name != "" {
		b = fmt.Appendf(b, "manifest %s %d %016x\n", m.name, m.length, m.sum)
	}
	for _, log := range s.logs {
		b = fmt.Appendf(b, "log %s %d\n", log.name, log.length)
	}
	return fmt.Appendf(b, "check %016x\n", xxhash.Sum64(b))
}

func decodeSeal(b []byte) (seal, error) {
	var s seal
	var version uint64
	text := string(b)
	if _, err := fmt.Sscanf(text, "holdfast journal %d\n", &version); err != nil {
		return s, &damage{sealName, 0, errors.New("it does not begin with \"holdfast journal\" and a number")}
	}
	end := strings.LastIndex(text, "check ")
	if end < 0 || text[end:] != fmt.Sprintf("check %016x\n", xxhash.Sum64String(text[:end])) {
		return s, &damage{sealName, 0, fmt.Errorf("the checksum of its %d bytes is wrong", len(b))}
	}
	if version < format {
		return s, fmt.Errorf("the journal has format %d, of a version of Holdfast before its first release; this version reads format %d: "+
			"give an empty directory, and hand the orders over again", version, format)
	}
	if version > format {
		return s, fmt.Errorf("%w: the journal has format %d, this version knows formats up to %d: use a newer version of Holdfast",
			persistence.ErrFeatureLevel, version, format)
	}
	for i, line := range strings.Split(strings.TrimSuffix(text[:end], "\n"), "\n") {
		what, rest, _ := strings.Cut(line, " ")
		var err error
		switch {
		case i == 0:
		case i == 1 && what == "state":
			word, note, _ := strings.Cut(rest, " ")
			s.state, s.note = state(word), note
		case i == 2 && what == "manifest":
			_, err = fmt.Sscanf(rest, "%s %d %x", &s.manifest.name, &s.manifest.length, &s.manifest.sum)
		case i >= 2 && what == "log":
			var log logEnd
			_, err = fmt.Sscanf(rest, "%s %d", &log.name, &log.length)
			s.logs = append(s.logs, log)
		default:
			err = errors.New("no such line is expected")
		}
		if err != nil {
			return s, &damage{sealName, 0, fmt.Errorf("its line %d: %w", i+1, err)}
		}
	}
	noted := s.note != "" && !strings.HasSuffix(s.note, " ")
	switch {
	case (s.state == stateCreating || s.state == stateOpen) && s.note == "":
	case s.state == stateSealed && s.note == "" && s.manifest.name != "":
	case (s.state == stateCopy || s.state == stateMoved) && noted:
	default:
		return s, &damage{sealName, 0, fmt.Errorf("its state is %q", strings.TrimSpace(string(s.state)+" "+s.note))}
	}
	return s, nil
}

// errNotToRun is why a directory is not opened that is no journal to run on.
var errNotToRun = errors.New("no node can use this journal")

// checkRuns makes sure that the journal is one to run on, and not a copy, or what was left of one that was moved.
func (s seal) checkRuns(dir string) error {
	switch s.state {
	case stateCopy:
		return fmt.Errorf("%w: %s is a copy, which backup %s made: restore it into a directory of its own, with holdfast journal restore",
			errNotToRun, dir, s.note)
	case stateMoved:
		return fmt.Errorf("%w: what was in %s was moved to PostgreSQL, into %s: start nodes with --journal; it is kept to be looked at, "+
			"and may be removed", errNotToRun, dir, s.note)
	case stateNew, stateCreating, stateOpen, stateSealed:
	}
	return nil
}

// Exists tells whether there is a journal in a directory, in whatever state. One that was not begun to be made is none.
func Exists(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, sealName))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err //nolint:wrapcheck // it names the file
}

// readSeal reads the state of a directory that exists and is locked.
func readSeal(fs vfs.FS, dir string) (seal, error) {
	b, err := readFile(fs, fs.PathJoin(dir, sealName))
	if err == nil {
		s, err := decodeSeal(b)
		if err != nil {
			return s, fmt.Errorf("journal in %s: %w", dir, err)
		}
		return s, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return seal{}, err
	}
	names, err := fs.List(dir)
	if err != nil {
		return seal{}, fmt.Errorf("list %s: %w", dir, err)
	}
	ours := []string{lockName, sealName + newSuffix, "lost+found"}
	for _, name := range names {
		if !slices.Contains(ours, name) {
			return seal{}, fmt.Errorf("%s is not a Holdfast journal: it has no file %s, but has %s: give an empty directory, or that of a journal",
				dir, sealName, name)
		}
	}
	return seal{}, nil
}

// errNoRoom says that the disk has no room for another file HOLDFAST; the one that there is stays.
var errNoRoom = errors.New("no room for a note")

// writeSeal replaces the file durably.
func writeSeal(fs vfs.FS, dir string, s seal) error {
	name := fs.PathJoin(dir, sealName)
	if err := writeFile(fs, name+newSuffix, s.encode()); vfs.IsNoSpaceError(err) {
		return fmt.Errorf("%w: %w", errNoRoom, err)
	} else if err != nil {
		return err
	}
	if err := fs.Rename(name+newSuffix, name); err != nil {
		return fmt.Errorf("rename %s: %w", name+newSuffix, err)
	}
	return syncDir(fs, dir)
}

// readManifest makes what the manifest in use has durable, and describes it. The engine only ever appends to it. If it can't be
// read now, that is persistence.ErrUnavailable.
func readManifest(fs vfs.FS, dir string) (m manifest, err error) {
	desc, err := pebble.Peek(dir, fs)
	if err != nil {
		return m, readError("look for the manifest in "+dir, err)
	}
	if !desc.Exists {
		return m, persistence.DecodeError(dir, errors.New("there is no manifest"))
	}
	f, err := fs.Open(desc.ManifestFilename)
	if errors.Is(err, os.ErrNotExist) {
		return m, &damage{path.Base(desc.ManifestFilename), 0, errMissing}
	}
	if err != nil {
		return m, readError("open the manifest", err)
	}
	sum := xxhash.New()
	m.name = path.Base(desc.ManifestFilename)
	m.length, err = io.Copy(sum, f)
	m.sum = sum.Sum64()
	if err != nil {
		return m, errors.Join(readError("read "+desc.ManifestFilename, err), f.Close())
	}
	if err = errors.Join(f.Sync(), f.Close()); err != nil {
		return m, fmt.Errorf("sync %s: %w", desc.ManifestFilename, err)
	}
	return m, nil
}

// check makes sure that the manifest still begins as it did.
func (m manifest) check(fs vfs.FS, dir string) error {
	f, err := fs.Open(fs.PathJoin(dir, m.name))
	if errors.Is(err, os.ErrNotExist) {
		// The engine began another one before it crashed, which it does durably.
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the manifest: %w", err)
	}
	sum := xxhash.New()
	n, err := io.Copy(sum, io.LimitReader(f, m.length))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read %s: %w", m.name, err)
	}
	if n == m.length && sum.Sum64() == m.sum {
		return nil
	}
	e, err := scanFile(fs, fs.PathJoin(dir, m.name), manifestChunks())
	if err != nil {
		return err
	}
	return &damage{m.name, e.readable, fmt.Errorf(
		"its first %d bytes are not what was written: they have the checksum %016x, and had %016x", m.length, sum.Sum64(), m.sum)}
}

// checkFiles looks for damage that the engine would not notice.
func (s seal) checkFiles(fs vfs.FS, dir string) error {
	if s.state == stateNew || s.state == stateCreating {
		return nil
	}
	desc, err := pebble.Peek(dir, fs)
	if err != nil {
		return fmt.Errorf("look for the manifest in %s: %w", dir, err)
	}
	if !desc.Exists || s.state == stateSealed && path.Base(desc.ManifestFilename) != s.manifest.name {
		return persistence.DecodeError(dir, errors.New("the manifest is missing"))
	}
	if _, err := fs.Stat(desc.ManifestFilename); errors.Is(err, os.ErrNotExist) {
		return &damage{path.Base(desc.ManifestFilename), 0, errMissing}
	}
	if desc.FormatMajorVersion == pebble.FormatDefault {
		return persistence.DecodeError(dir, errors.New("the file marker.format-version is missing"))
	}
	if desc.OptionsFilename != "" {
		if err := checkOptions(fs, dir, desc.OptionsFilename); err != nil {
			return err
		}
	}
	if s.manifest.name != "" {
		if err := s.manifest.check(fs, dir); err != nil {
			return err
		}
	}
	if s.state == stateSealed {
		return nil
	}
	e, err := scanFile(fs, desc.ManifestFilename, manifestChunks())
	if err != nil {
		return err
	}
	if err := e.check(path.Base(desc.ManifestFilename), 0); err != nil {
		return err
	}
	oldest, err := oldestLog(fs, desc.ManifestFilename)
	if err != nil {
		return err
	}
	return checkLogs(fs, dir, oldest, s.logs)
}

// makeDir makes dir and what is above it, durably.
func makeDir(fs vfs.FS, dir string) error {
	var missing []string
	for at := dir; ; at = fs.PathDir(at) {
		if _, err := fs.Stat(at); err == nil || at == fs.PathDir(at) {
			break
		} else if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("look for the directory of the journal: %w", err)
		}
		missing = append(missing, at)
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the journal: %w", err)
	}
	for _, made := range missing {
		if err := syncDir(fs, fs.PathDir(made)); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open directory %s: %w", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

func writeFile(fs vfs.FS, name string, b []byte) error {
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
