package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Operators are told where a backup was made, and what is wrong with a folder, by the name of the field.
func TestBackupJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		refused := func(folder string, code codes.Code, field string) {
			t.Helper()
			_, err := n.admin.BackupJournal(t.Context(), &adminv1.BackupJournalRequest{Folder: folder})
			st, _ := status.FromError(err)
			told := ""
			for _, d := range st.Details() {
				if bad, ok := d.(*errdetails.BadRequest); ok {
					told = bad.GetFieldViolations()[0].GetField()
				}
			}
			if st.Code() != code || told != field {
				t.Errorf("%q: %v, field %q", folder, err, told)
			}
		}
		refused("/backup", codes.FailedPrecondition, "") // a journal of another kind
		n.server.BackUpWith(func(_ context.Context, folder string) (*adminv1.BackupJournalResponse, error) {
			switch folder {
			case "/full":
				return nil, fmt.Errorf("back up: %w", &gateway.FolderError{Err: errors.New("is not empty")})
			case "/busy":
				return nil, fmt.Errorf("back up: %w", persistence.ErrBusy)
			}
			return &adminv1.BackupJournalResponse{Id: folder}, nil
		})
		refused("", codes.InvalidArgument, "folder")
		refused("/full", codes.InvalidArgument, "folder")
		refused("/busy", codes.ResourceExhausted, "")
		made, err := n.admin.BackupJournal(t.Context(), &adminv1.BackupJournalRequest{Folder: "/backup"})
		if err != nil || made.GetId() != "/backup" {
			t.Errorf("%v, %v", made, err)
		}
	})
}
