package pebble

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-run/holdfast/persistence"
)

// format is the version of what is stored in the directory.
const format = 1

// sealName is the file that makes a directory a journal's.
const sealName = "HOLDFAST"

// state is what a journal's directory is in; doc.go shows the order.
type state string

const (
	stateNew      state = "" // There is no journal yet.
	stateCreating state = "creating"
	stateOpen     state = "open"
	stateSealed   state = "sealed"
)

// seal is the content of the file HOLDFAST.
type seal struct {
	state state
	// manifest is what the engine's manifest began with when the file was written; if sealed, all of it. Its name is
	// empty if that is not known.
	manifest manifest
}

// manifest describes the first length bytes of a manifest.
type manifest struct {
	name   string
	length int64
	sum    uint64
}

func (s seal) encode() []byte {
	text := fmt.Sprintf("holdfast journal %d\nstate %s\n", format, s.state)
	if m := s.manifest; m.name != "" {
		text += fmt.Sprintf("manifest %s %d %016x\n", m.name, m.length, m.sum)
	}
	return fmt.Appendf(nil, "%scheck %016x\n", text, xxhash.Sum64String(text))
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
	if version > format {
		return s, fmt.Errorf("%w: the journal has format %d, this version knows formats up to %d: use a newer version of Holdfast",
			persistence.ErrFeatureLevel, version, format)
	}
	lines := strings.Split(text[:end], "\n")
	if len(lines) < 3 {
		return s, &damage{sealName, 0, errors.New("it has no state")}
	}
	s.state = state(strings.TrimPrefix(lines[1], "state "))
	if lines[2] != "" {
		m := &s.manifest
		if _, err := fmt.Sscanf(lines[2], "manifest %s %d %x", &m.name, &m.length, &m.sum); err != nil {
			return s, &damage{sealName, 0, fmt.Errorf("its third line: %w", err)}
		}
	}
	switch {
	case s.state == stateCreating, s.state == stateOpen, s.state == stateSealed && s.manifest.name != "":
	default:
		return s, &damage{sealName, 0, fmt.Errorf("its state is %q", s.state)}
	}
	return s, nil
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
	ours := []string{"LOCK", sealName + ".new", "lost+found"}
	for _, name := range names {
		if !slices.Contains(ours, name) {
			return seal{}, fmt.Errorf("%s is not a Holdfast journal: it has no file %s, but has %s: give an empty directory, or that of a journal",
				dir, sealName, name)
		}
	}
	return seal{}, nil
}

// writeSeal replaces the file durably.
func writeSeal(fs vfs.FS, dir string, s seal) error {
	name := fs.PathJoin(dir, sealName)
	if err := writeFile(fs, name+".new", s.encode()); err != nil {
		return err
	}
	if err := fs.Rename(name+".new", name); err != nil {
		return fmt.Errorf("rename %s.new: %w", name, err)
	}
	return syncDir(fs, dir)
}

// readManifest makes what the manifest in use has durable, and describes it. The engine only ever appends to it.
func readManifest(fs vfs.FS, dir string) (m manifest, err error) {
	desc, err := pebble.Peek(dir, fs)
	if err != nil {
		return m, fmt.Errorf("look for the manifest in %s: %w", dir, err)
	}
	if !desc.Exists {
		return m, persistence.DecodeError(dir, errors.New("there is no manifest"))
	}
	f, err := fs.Open(desc.ManifestFilename)
	if err != nil {
		return m, fmt.Errorf("open the manifest: %w", err)
	}
	sum := xxhash.New()
	m.name = path.Base(desc.ManifestFilename)
	m.length, err = io.Copy(sum, f)
	m.sum = sum.Sum64()
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return m, fmt.Errorf("read %s: %w", desc.ManifestFilename, err)
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
	if f, err = fs.Open(fs.PathJoin(dir, m.name)); err != nil {
		return fmt.Errorf("open the manifest: %w", err)
	}
	offset, err := manifestChunks().unreadable(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read %s: %w", m.name, err)
	}
	return &damage{m.name, offset, fmt.Errorf(
		"its first %d bytes are not what was written: they have the checksum %016x, and had %016x", m.length, sum.Sum64(), m.sum)}
}

// checkFiles looks for damage that the engine would not notice.
func (s seal) checkFiles(fs vfs.FS, dir string) error {
	if s.state != stateOpen && s.state != stateSealed {
		return nil
	}
	desc, err := pebble.Peek(dir, fs)
	if err != nil {
		return fmt.Errorf("look for the manifest in %s: %w", dir, err)
	}
	if !desc.Exists || s.state == stateSealed && path.Base(desc.ManifestFilename) != s.manifest.name {
		return persistence.DecodeError(dir, errors.New("the manifest is missing"))
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
	if err := checkFile(fs, desc.ManifestFilename, manifestChunks()); err != nil {
		return err
	}
	return checkNewestLog(fs, dir)
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
	if err := fs.MkdirAll(dir, 0o750); err != nil {
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
