package pebble

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-run/holdfast/messages"
)

// ErrDamagedCopy is why a copy was not restored: the report says what is wrong with it.
var ErrDamagedCopy = errors.New("the copy is damaged")

// Restore makes a journal of the copy in the folder of a backup, in a directory that is empty or absent: it copies all files, verifies
// what it has written, and begins a generation that no journal made of this copy had before, which it notes in the folder first. Until that
// is done no node can open the directory; if it fails, nothing is left there. Dir of the check is not used.
func Restore(ctx context.Context, folder string, cfg Config, c Check) (next messages.Generation, r Report, err error) {
	c.FS = cmp.Or(c.FS, vfs.Default)
	cfg.FS = c.FS
	b, err := readBackup(c.FS, folder)
	if err != nil {
		return 0, r, err
	}
	if err := checkEmpty(c.FS, cfg.Dir); err != nil {
		return 0, r, err
	}
	if err := makeDir(c.FS, cfg.Dir); err != nil {
		return 0, r, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeAll(c.FS, cfg.Dir))
		}
	}()
	if err := copyDir(ctx, c.FS, c.FS.PathJoin(folder, copyName), cfg.Dir); err != nil {
		return 0, r, err
	}
	c.Dir = cfg.Dir
	if r, err = Verify(ctx, c); err != nil {
		return 0, r, err
	}
	if r.ProblemCount > 0 {
		return 0, r, fmt.Errorf("%w: %s", ErrDamagedCopy, folder)
	}
	if err := b.check(r); err != nil {
		return 0, r, err
	}
	next = b.Generation
	for _, before := range b.Restored {
		next = max(next, before.Generation)
	}
	next++
	b.Restored = append(b.Restored, Restored{At: time.Now().UTC().Truncate(time.Second), Generation: next})
	if err := writeBackup(c.FS, folder, b); err != nil {
		return 0, r, fmt.Errorf("note the new generation in the folder, so that it is given once: copy the folder to where it can be written: %w",
			err)
	}
	j, err := open(cfg, next) //nolint:contextcheck // what was begun is ended
	if err != nil {
		return 0, r, err
	}
	return next, r, j.Close()
}

// copyDir copies the files of a journal into an empty directory, durably; that which makes it one comes last.
func copyDir(ctx context.Context, fs vfs.FS, from, to string) error {
	names, err := fs.List(from)
	if err != nil {
		return fmt.Errorf("list %s: %w", from, err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == lockName || name == sealName })
	for _, name := range append(names, sealName) {
		if err := copyFile(ctx, fs, fs.PathJoin(from, name), fs.PathJoin(to, name)); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	return syncDir(fs, to)
}

func copyFile(ctx context.Context, fs vfs.FS, from, to string) error {
	source, err := fs.Open(from, vfs.SequentialReadsOption)
	if err != nil {
		return err //nolint:wrapcheck // said by the caller
	}
	defer source.Close() //nolint:errcheck // it was only read
	target, err := fs.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err //nolint:wrapcheck // said by the caller
	}
	for err == nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
			break
		}
		_, err = io.CopyN(target, source, copyPiece)
	}
	if errors.Is(err, io.EOF) {
		err = target.Sync()
	}
	return errors.Join(err, target.Close())
}

// copyPiece is how much is copied before it is looked whether that is to end.
const copyPiece = 4 << 20

// removeAll removes what is in a directory.
func removeAll(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	for _, name := range names {
		if name != "lost+found" {
			err = errors.Join(err, fs.RemoveAll(fs.PathJoin(dir, name)))
		}
	}
	return err
}
