package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/holdfast-run/holdfast/persistence"
)

// What the server may say, by SQLSTATE.
const (
	uniqueViolation      = "23505"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
	readOnlyTransaction  = "25006"
	queryCanceled        = "57014"
	undefinedTable       = "42P01"
)

// stateOf is the SQLSTATE of an error that ended a statement; empty if the error is of another kind, or may have come after the
// statement was committed, as one that ends the session may.
func stateOf(err error) string {
	p, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || p.Severity == "FATAL" || p.Severity == "PANIC" {
		return ""
	}
	return p.Code
}

func isTaken(err error) bool { return stateOf(err) == uniqueViolation }

// isRetryable tells whether the statement was not done because others got in the way.
func isRetryable(err error) bool {
	s := stateOf(err)
	return s == serializationFailure || s == deadlockDetected
}

// isRefusal tells whether the statement was not done because of what it is about: data that the server does not take.
func isRefusal(err error) bool {
	s := stateOf(err)
	for _, class := range []string{"21", "22", "23", "54"} {
		if strings.HasPrefix(s, class) {
			return true
		}
	}
	return false
}

// wasNotDone tells whether the statement was certainly not done: the server says so, or it never got it.
func wasNotDone(err error) bool { return stateOf(err) != "" || pgconn.SafeToRetry(err) }

// isDamage tells whether the server says that what it stores is damaged.
func isDamage(err error) bool {
	s := stateOf(err)
	return s == "XX001" || s == "XX002"
}

// unavailable says that the shard does not answer, because of an error. If a server was refused, that is the reason, and not how it was
// tried to reach others.
func (s *shard) unavailable(err error) error {
	if why, refused := errors.AsType[refusal](err); refused {
		err = why
	}
	return &persistence.UnavailableError{Shard: s.number, Err: err}
}

// readError makes of what went wrong with a read what a caller is told.
func (s *shard) readError(ctx context.Context, what string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	case s.journal.ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, persistence.ErrClosed)
	case errors.Is(err, persistence.ErrCorrupt):
		return fmt.Errorf("%s: %w", what, err)
	case isDamage(err):
		return fmt.Errorf("%s: %w: %w", what, persistence.ErrCorrupt, err)
	}
	return fmt.Errorf("%s: %w", what, s.unavailable(err))
}
