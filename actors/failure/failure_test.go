package failure_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/persistence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What the journal has not said in time, or for certain, is no fault of the node: the same may be tried again. And a failure that another
// node told is still what it was.
func TestJournalThatIsLate(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"a read that took too long": failure.Late(fmt.Errorf("read records: %w", context.DeadlineExceeded)),
		"an unknown outcome":        fmt.Errorf("commit: %w", persistence.ErrUnknown),
	} {
		f := failure.Of(err)
		if f.GetReason() != nodev1.Reason_REASON_JOURNAL_UNAVAILABLE || !errors.Is(failure.Err(f), failure.ErrUnavailable) {
			t.Errorf("%s is %v", name, f)
		}
	}
	other := errors.New("other")
	if err := failure.Late(other); !errors.Is(err, other) || failure.Of(err).GetReason() != nodev1.Reason_REASON_UNSPECIFIED {
		t.Errorf("another error is %v", err)
	}
	if err := failure.Late(nil); err != nil {
		t.Errorf("none is %v", err)
	}
}
