package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/persistence/pebble"
)

// backupWithin bounds the time of a backup if --timeout doesn't: it makes a link for each table of the journal, and copies its logs.
const backupWithin = 10 * time.Minute

func newJournalBackup(a *app) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Back up the journal of a running node, and verify the copy",
		Long: "Has a node that runs copy its journal into a folder of its machine, which must be empty or absent, and on the file\n" +
			"system of the data directory: tables get a second name there and are not copied, so that it is quick, and needs hardly\n" +
			"any room at first. What was acknowledged before is in the copy. It is then verified by this command, as journal verify\n" +
			"does; so run it on the node's machine, as the node's user. Copy the folder elsewhere: a disk that is lost takes both.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return usagef("--to is missing: give a folder that is empty or absent")
			}
			folder, err := filepath.Abs(to)
			if err != nil {
				return fmt.Errorf("complete --to: %w", err)
			}
			return a.backUp(cmd.Context(), folder)
		},
	}
	a.adminFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&to, "to", "", "`folder` that gets the backup, on the machine of the node")
	flags.DurationVar(&a.client.timeout, "timeout", 0, "give up waiting for the copy after this time (0: 10m)")
	setting(flags, "timeout")
	return cmd
}

// backUp has a node make a backup, and verifies it.
func (a *app) backUp(ctx context.Context, folder string) error {
	if a.client.timeout <= 0 {
		a.client.timeout = backupWithin
	}
	var made *adminv1.BackupJournalResponse
	begun := time.Now()
	if err := a.call(ctx, a.dialAdmin, func(ctx context.Context, c *api) (err error) {
		made, err = c.Admin().BackupJournal(ctx, &adminv1.BackupJournalRequest{Folder: folder})
		return err
	}); err != nil {
		return err
	}
	if a.output != outputJSON {
		fmt.Fprintf(a.stdout, "copied %s with %s in %v; verifying the copy\n", some(made.GetFiles(), "file", "files"),
			some(made.GetBytes(), "byte", "bytes"), time.Since(begun).Round(time.Millisecond))
	}
	b, report, err := pebble.VerifyBackup(ctx, folder, wholeCheck(""))
	if err == nil && b.ID.String() != made.GetId() {
		err = fmt.Errorf("%s has backup %s, and the node made %s: it is another machine's folder", folder, b.ID, made.GetId())
	}
	if err != nil {
		return advise(fmt.Errorf("the copy was made, and not verified: %w", err),
			"It is to be verified on the machine of the node, as the node's user: holdfast journal verify --data "+folder)
	}
	if report.ProblemCount > 0 {
		return errors.Join(a.printReport(report), advise(fmt.Errorf("the copy in %s is damaged", folder),
			"Tables are shared with the journal: stop the node, and see what journal verify --data tells of its data directory."))
	}
	if a.output == outputJSON {
		return a.printJSON(b)
	}
	a.printCounts(report)
	fmt.Fprintf(a.stdout, "backup %s of journal %s, generation %d: nothing is wrong\n", b.ID, b.Journal, b.Generation)
	return nil
}

// backupOf makes backups of a journal for operators.
func backupOf(j *pebble.Journal, log *slog.Logger) gateway.Backup {
	return func(ctx context.Context, folder string) (*adminv1.BackupJournalResponse, error) {
		begun := time.Now()
		b, err := j.Backup(ctx, folder)
		if errors.Is(err, pebble.ErrFolder) {
			return nil, &gateway.FolderError{Err: err}
		}
		if err != nil {
			return nil, fmt.Errorf("back up the journal: %w", err)
		}
		log.Info("the journal was backed up", "folder", folder, "backup", b.ID, "files", b.Files, "bytes", b.Bytes, "took", time.Since(begun))
		return &adminv1.BackupJournalResponse{
			Id: b.ID.String(), Journal: b.Journal.String(), Generation: uint32(b.Generation), FeatureLevel: b.FeatureLevel,
			MadeAt: timestamppb.New(b.MadeAt), Files: int64(b.Files), Bytes: b.Bytes,
		}, nil
	}
}

func newJournalRestore(a *app) *cobra.Command {
	var from, data string
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Make a journal of a backup, in an empty data directory",
		Long: "Copies the journal in the folder of a backup into a data directory that is empty or absent, verifies what it has written,\n" +
			"and begins a new generation of epochs, so that adapters tell what the restored journal says from what the one before\n" +
			"said. The journal of which the backup was made must not be used any more: two that go on from there would both execute\n" +
			"the same orders. What was done since the backup is not known, and may be done again, under the same idempotency keys.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" || data == "" {
				return usagef("--from is %q and --data is %q: give the folder of a backup, and a data directory that is empty or absent",
					from, data)
			}
			return a.restore(cmd.Context(), from, data)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "`folder` of the backup")
	cmd.Flags().StringVar(&data, "data", "", "data `directory` that gets the journal")
	return cmd
}

func (a *app) restore(ctx context.Context, from, data string) error {
	if entries, err := os.ReadDir(data); err == nil {
		for _, e := range entries {
			if e.Name() != "lost+found" {
				return advise(fmt.Errorf("data directory %s is not empty, but has %q", data, e.Name()),
					"Give --data a directory that is empty or absent: a journal is never restored over another one.")
			}
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look into the data directory: %w", err)
	}
	generation, report, err := pebble.Restore(ctx, from, pebble.Config{
		Dir: journalIn(data), Logger: a.logger(a.stderr), LowWaterBytes: -1,
	}, wholeCheck(""))
	if errors.Is(err, pebble.ErrDamagedCopy) {
		err = errors.Join(err, a.printReport(report))
	}
	if err != nil {
		return advise(fmt.Errorf("restore the backup in %s: %w", from, err), "Nothing was restored. Take another backup, if there is one.")
	}
	if a.output == outputJSON {
		return a.printJSON(restored{Report: report, Generation: uint32(generation)})
	}
	a.printCounts(report)
	fmt.Fprintf(a.stdout, "restored into %s, as generation %d\n"+
		"The journal of which the backup was made must not run any more. What was done since may be done again, with the same\n"+
		"idempotency keys; what was accepted since is not there.\n",
		data, generation)
	return nil
}

// restored is what was restored, as JSON: the report is of the copy, the generation that of the journal made of it.
type restored struct {
	pebble.Report

	Generation uint32 `json:"restored_as_generation"`
}
