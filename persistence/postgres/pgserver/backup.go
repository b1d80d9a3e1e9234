package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Backup takes a base backup of the server, which runs, and makes another one of it, in a folder that every user may enter then. That
// begins with the moment in which the backup ended, unless it is told to Recover more. It is not started.
func (s *Server) Backup(ctx context.Context, dir string) (*Server, error) {
	restored := &Server{Bin: s.Bin, Data: filepath.Join(dir, "data"), Log: filepath.Join(dir, "server.log")}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the user that the server runs as must get in
		return nil, fmt.Errorf("prepare %s: %w", dir, err)
	}
	if err := os.Mkdir(restored.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	attributes, err := as(restored.Data)
	if err != nil {
		return nil, err
	}
	backup := exec.CommandContext(ctx, filepath.Join(s.Bin, "pg_basebackup"),
		"-h", "127.0.0.1", "-p", strconv.Itoa(s.Port), "-U", "postgres", "-X", "stream", "-c", "fast", "--no-sync", "-D", restored.Data)
	backup.SysProcAttr, backup.Dir = attributes, restored.Data
	if out, err := backup.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w: %s", err, out)
	}
	return restored, restored.TakePort()
}

// Archive makes a folder for the WAL of the server, in one that every user may enter, and returns the settings with which a server is
// started that archives it there.
func Archive(dir string) (settings []string, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // the user that the server runs as must get in
		return nil, fmt.Errorf("make the archive: %w", err)
	}
	if _, err := as(dir); err != nil {
		return nil, err
	}
	return []string{"archive_mode=on", "archive_command=cp %p " + dir + "/%f"}, nil
}

// Recover has a server that was made by Backup go on with the WAL in an archive when it is started, up to what the settings say, of the
// form name=value, or else up to the end. Then it takes writes, under a timeline of its own.
func (s *Server) Recover(archive string, settings ...string) error {
	var text strings.Builder
	for _, setting := range append([]string{"recovery_target_action=promote", "restore_command=cp " + archive + "/%f %p"}, settings...) {
		name, value, _ := strings.Cut(setting, "=")
		fmt.Fprintf(&text, "%s = '%s'\n", name, value)
	}
	return errors.Join(
		appendTo(filepath.Join(s.Data, "postgresql.auto.conf"), text.String()), appendTo(filepath.Join(s.Data, "recovery.signal"), ""),
	)
}

// Salvage gives a server that is to Recover what another one, which has ended, had not archived of its WAL.
func (s *Server) Salvage(ctx context.Context, from *Server) error {
	copying := exec.CommandContext(ctx, "cp", "-a", filepath.Join(from.Data, "pg_wal")+"/.", filepath.Join(s.Data, "pg_wal"))
	if out, err := copying.CombinedOutput(); err != nil {
		return fmt.Errorf("copy the WAL that is left: %w: %s", err, out)
	}
	return nil
}
