package pebble

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// backupName is the file that makes a folder a backup. It is written last.
const backupName = "BACKUP"

// copyName is where in its folder a backup has the copy of the journal: where a data directory has it, too.
const copyName = "journal"

// Backup is what the file BACKUP says of the copy of a journal in its folder.
type Backup struct {
	// ID is the backup's own. The copy bears it, too, so that the two can't be mixed up with those of another backup.
	ID uuid.UUID `json:"id"`
	// Journal is the identity of the journal, Generation that of its epochs when it was copied.
	Journal    uuid.UUID           `json:"journal"`
	Generation messages.Generation `json:"generation"`
	// Format is that of the directory, FeatureLevel the highest that records may have.
	Format       int       `json:"format"`
	FeatureLevel uint32    `json:"feature_level"`
	MadeAt       time.Time `json:"made_at"`
	// Files and Bytes are those of the copy. As long as the journal has the same tables, they take no room of their own.
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
	// Verified is what was found when the copy was verified; nil if it was not, or something was wrong.
	Verified *Verified `json:"verified,omitempty"`
	// Restored are the generations that were given to journals which were made of this copy.
	Restored []Restored `json:"restored,omitempty"`
}

// Verified is what a copy held when it was verified.
type Verified struct {
	At          time.Time `json:"at"`
	Orders      int64     `json:"orders"`
	Open        int64     `json:"open"`
	Records     int64     `json:"records"`
	Events      int64     `json:"events"`
	Definitions int64     `json:"definitions"`
	Digest      string    `json:"digest"`
}

// Restored is one restoring of a copy.
type Restored struct {
	At         time.Time           `json:"at"`
	Generation messages.Generation `json:"generation"`
}

// ErrFolder is why a folder can't take a backup, or has none. An error that is one says what is wrong, and what to do.
var ErrFolder = errors.New("the folder is not fit for that")

// folderError is an ErrFolder.
type folderError struct{ error }

// Is makes a folderError an ErrFolder.
func (folderError) Is(target error) bool { return target == ErrFolder }

func (e folderError) Unwrap() error { return e.error }

func folderErrorf(format string, args ...any) error {
	return folderError{fmt.Errorf(format, args...)} //nolint:err113 // for people
}

// Backup makes a copy of the journal in a folder, which must be on the same file system, and empty or absent. Tables are not copied, but
// have a second name there: they never change. What was confirmed before is in the copy, and of what comes later nothing, a part, or all,
// as of one moment. Commits go on meanwhile. One backup is made at a time; it is made whole, or nothing is left of it. ErrFolder if the
// folder won't do.
func (j *Journal) Backup(ctx context.Context, folder string) (b Backup, err error) {
	if err := j.enter(ctx); err != nil {
		return b, err
	}
	defer j.leave()
	if !j.backing.TryLock() {
		return b, fmt.Errorf("%w: another backup is being made", persistence.ErrBusy)
	}
	defer j.backing.Unlock()
	if j.full.Load() {
		return b, fmt.Errorf("%w: its disk has %d bytes free, and a backup keeps tables that would be removed: free some first",
			persistence.ErrFull, j.counts.free.Load())
	}
	fs := j.cfg.FS
	made, err := j.prepareFolder(folder)
	defer func() {
		if err != nil && made { // without the file BACKUP it is none, but it would be in the way of another try
			_ = fs.RemoveAll(folder)
		}
	}()
	if err != nil {
		return b, err
	}
	defer func() {
		if err != nil {
			_ = removeAll(fs, folder)
		}
	}()
	b = Backup{
		ID: uuid.New(), Journal: j.identity, Format: format, FeatureLevel: j.level.Load(), MadeAt: time.Now().UTC().Truncate(time.Second),
	}
	j.writing.Lock()
	b.Generation = j.owners.generation
	j.writing.Unlock()
	if err := j.copyTo(fs.PathJoin(folder, copyName), b.ID); err != nil {
		return b, fmt.Errorf("back the journal up to %s: %w", folder, err)
	}
	if b.Files, b.Bytes, err = sizeOf(fs, fs.PathJoin(folder, copyName)); err != nil {
		return b, err
	}
	return b, writeBackup(fs, folder, b)
}

// prepareFolder makes sure that a folder may get a backup, and makes it if it is not there.
func (j *Journal) prepareFolder(folder string) (made bool, err error) {
	fs := j.cfg.FS
	if !path.IsAbs(folder) {
		return false, folderErrorf("%q is not an absolute path: give one, of the machine where the node runs", folder)
	}
	journal, err := filepath.Abs(j.cfg.Dir)
	if err != nil {
		return false, fmt.Errorf("look where the journal is: %w", err)
	}
	if within := path.Clean(folder) + "/"; strings.HasPrefix(within, path.Clean(journal)+"/") {
		return false, folderErrorf("%s is within the journal's own directory: give another one", folder)
	}
	if err := checkEmpty(fs, folder); err != nil {
		return false, err
	}
	if _, err := fs.Stat(folder); errors.Is(err, os.ErrNotExist) {
		made = true
	}
	if err := makeDir(fs, folder); err != nil {
		return made, folderErrorf("%s can't be made: %w", folder, err)
	}
	probe := fs.PathJoin(folder, "probe")
	if err := fs.Link(fs.PathJoin(j.cfg.Dir, lockName), probe); err != nil { // the one file there that is never replaced by another
		return made, folderErrorf("%s can't have links to the files of the journal in %s, as it could on the same file system (%w): "+
			"make the backup there, and copy its folder to where it is to be kept", folder, j.cfg.Dir, err)
	}
	if err := fs.Remove(probe); err != nil {
		return made, fmt.Errorf("remove %s: %w", probe, err)
	}
	return made, nil
}

// checkEmpty makes sure that nothing is in a folder, or that it does not exist.
func checkEmpty(fs vfs.FS, folder string) error {
	names, err := fs.List(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return folderErrorf("%s can't be read: %w", folder, err)
	}
	for _, name := range names {
		if name != "lost+found" {
			return folderErrorf("%s is not empty, but has %q: give an empty folder, or one that does not exist", folder, name)
		}
	}
	return nil
}

// copyTo makes the copy in a directory that does not exist, and notes there of which backup it is.
func (j *Journal) copyTo(dir string, of uuid.UUID) error {
	durable := j.logs.ends()
	if err := checkpoint(j.db, dir); err != nil {
		return engineError("make a copy", err)
	}
	m, err := readManifest(j.cfg.FS, dir)
	if err != nil {
		return err
	}
	logs, err := cutLogs(j.cfg.FS, dir, m.name, durable)
	if err != nil {
		return err
	}
	return writeSeal(j.cfg.FS, dir, seal{state: stateCopy, note: of.String(), manifest: m, logs: logs})
}

// checkpoint makes an error of the panic by which the engine answers that a directory can't be synced. It has let go of all by then.
func checkpoint(db *pebble.DB, dir string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return db.Checkpoint(dir) //nolint:wrapcheck // the caller says of what
}

// cutLogs cuts the logs of a copy where they were durable before it was made. What is behind was written while it was copied: of that,
// pieces may be missing in the middle, which looks like damage. So nothing follows the first log that has no end: it was begun later.
// Logs that are older than the manifest needs are left out.
func cutLogs(fs vfs.FS, dir, manifest string, durable []logEnd) (kept []logEnd, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	oldest, err := oldestLog(fs, fs.PathJoin(dir, manifest))
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { _, isLog := logNumber(name); return !isLog })
	slices.SortFunc(names, func(a, b string) int {
		x, _ := logNumber(a)
		y, _ := logNumber(b)
		return cmp.Compare(x, y)
	})
	for ended := true; len(names) > 0; names = names[1:] {
		name := fs.PathJoin(dir, names[0])
		number, _ := logNumber(names[0])
		i := slices.IndexFunc(durable, func(l logEnd) bool { return l.name == names[0] })
		if number < oldest || !ended || i < 0 {
			if err := fs.Remove(name); err != nil {
				return nil, fmt.Errorf("remove a log that is not part of the copy: %w", err)
			}
			ended = ended && number < oldest
			continue
		}
		if err := cutFile(fs, name, durable[i].length); err != nil {
			return nil, err
		}
		e, err := scanFile(fs, name, logChunks(number)...)
		if err != nil {
			return nil, err
		}
		ended, kept = e.ended, append(kept, durable[i])
	}
	return kept, syncDir(fs, dir)
}

// cutFile cuts a file to a length.
func cutFile(fs vfs.FS, name string, length int64) error {
	from, err := fs.Open(name, vfs.SequentialReadsOption)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	defer from.Close() //nolint:errcheck // it was only read
	to, err := fs.Create(name+newSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create %s: %w", name+newSuffix, err)
	}
	n, err := io.Copy(to, io.LimitReader(from, length))
	if err == nil && n < length {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return fmt.Errorf("cut %s to %d bytes: %w", name, length, err)
	}
	if err := fs.Rename(name+newSuffix, name); err != nil {
		return fmt.Errorf("rename %s: %w", name+newSuffix, err)
	}
	return nil
}

// sizeOf counts the files in a directory, and their bytes.
func sizeOf(fs vfs.FS, dir string) (files int, bytes int64, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return 0, 0, fmt.Errorf("list %s: %w", dir, err)
	}
	for _, name := range names {
		info, err := fs.Stat(fs.PathJoin(dir, name))
		if err != nil {
			return 0, 0, fmt.Errorf("look at %s: %w", name, err)
		}
		files, bytes = files+1, bytes+info.Size()
	}
	return files, bytes, nil
}

// writeBackup replaces the file BACKUP durably.
func writeBackup(fs vfs.FS, folder string, b Backup) error {
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", backupName, err)
	}
	name := fs.PathJoin(folder, backupName)
	if err := writeFile(fs, name+newSuffix, append(text, '\n')); err != nil {
		return err
	}
	if err := fs.Rename(name+newSuffix, name); err != nil {
		return fmt.Errorf("rename %s: %w", name+newSuffix, err)
	}
	return syncDir(fs, folder)
}

// readBackup reads what the file BACKUP in a folder says, and makes sure that the copy there is the one that it speaks of.
func readBackup(fs vfs.FS, folder string) (b Backup, err error) {
	text, err := readFile(fs, fs.PathJoin(folder, backupName))
	if errors.Is(err, os.ErrNotExist) {
		return b, folderErrorf("%s has no file %s: it is no backup, or one that was never finished", folder, backupName)
	}
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, folderErrorf("the file %s in %s is damaged: %w", backupName, folder, err)
	}
	now, err := readSeal(fs, fs.PathJoin(folder, copyName))
	if err != nil {
		return b, folderErrorf("%w", err)
	}
	if now.state != stateCopy || now.note != b.ID.String() {
		return b, folderErrorf("what is in %s is not the copy that backup %s made, of which its file %s tells: put back what belongs together",
			folder, b.ID, backupName)
	}
	return b, nil
}

// VerifyBackup verifies the copy in the folder of a backup, as Verify does, and notes what was found if nothing is wrong. Dir of the check
// is not used.
func VerifyBackup(ctx context.Context, folder string, c Check) (b Backup, r Report, err error) {
	c.FS = cmp.Or(c.FS, vfs.Default)
	if b, err = readBackup(c.FS, folder); err != nil {
		return b, r, err
	}
	c.Dir = c.FS.PathJoin(folder, copyName)
	if r, err = Verify(ctx, c); err != nil || r.ProblemCount > 0 {
		return b, r, err
	}
	if err := b.check(r); err != nil {
		return b, r, err
	}
	b.Verified = &Verified{
		At: time.Now().UTC().Truncate(time.Second), Orders: r.Orders, Open: r.Open, Records: r.Records, Events: r.Events,
		Definitions: r.Definitions, Digest: r.Digest,
	}
	return b, r, writeBackup(c.FS, folder, b)
}

// check makes sure that a copy is the one that the backup has made, by what was found in it.
func (b Backup) check(r Report) error {
	switch {
	case r.Journal != b.Journal.String(), r.Generation != b.Generation, r.FeatureLevel != b.FeatureLevel:
		return folderErrorf("the copy is of journal %s with generation %d and feature level %d, and its file %s tells of %s with %d and %d: "+
			"put back what belongs together", r.Journal, r.Generation, r.FeatureLevel, backupName, b.Journal, b.Generation, b.FeatureLevel)
	case b.Verified != nil && b.Verified.Digest != r.Digest:
		return folderErrorf("the copy has the digest %s, and had %s when it was verified at %s: take another backup",
			r.Digest, b.Verified.Digest, b.Verified.At.Format(time.RFC3339))
	}
	return nil
}
