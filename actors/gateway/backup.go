package gateway

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// Backup makes a backup of the node's journal in a folder of the node's machine. It fails with a FolderError if the folder won't do.
type Backup func(ctx context.Context, folder string) (*adminv1.BackupJournalResponse, error)

// FolderError is what is wrong with the folder for a backup.
type FolderError struct{ Err error }

func (e *FolderError) Error() string { return e.Err.Error() }

func (e *FolderError) Unwrap() error { return e.Err }

// BackUpWith says how backups are made. It is to be called before operators connect; without it there are none.
func (s *Server) BackUpWith(b Backup) { s.backup = b }

// BackupJournal implements adminv1.AdminServiceServer.
func (a admin) BackupJournal(ctx context.Context, r *adminv1.BackupJournalRequest) (*adminv1.BackupJournalResponse, error) {
	if a.backup == nil {
		return nil, a.fail(&failure{
			code: codes.FailedPrecondition, reason: "NO_EMBEDDED_JOURNAL",
			message: "the journal is in PostgreSQL: it is backed up there, by PostgreSQL's own means",
		})
	}
	if r.GetFolder() == "" {
		var m mistakes
		m.add("folder", "is empty: give the absolute path of one, on the machine where the node runs")
		return nil, a.fail(m.err())
	}
	made, err := a.backup(ctx, r.GetFolder())
	if unfit, ok := errors.AsType[*FolderError](err); ok {
		var m mistakes
		m.add("folder", unfit.Error())
		return nil, a.fail(m.err())
	}
	if err != nil {
		return nil, a.fail(err)
	}
	note(ctx, "backup", "", made.GetId()+" in "+r.GetFolder())
	return made, nil
}
