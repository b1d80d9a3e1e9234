package shown

import (
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// Outcome is what came of one order when something was done to many.
type Outcome struct {
	ID string `json:"id"`
	// Accepted: it is durable; activities under way may be awaited before the order ends.
	Accepted bool   `json:"accepted"`
	Code     string `json:"code"`
	Reason   string `json:"reason,omitempty"`
	Message  string `json:"message,omitempty"`
}

// OutcomeOf makes the form of an outcome.
func OutcomeOf(o *adminv1.Outcome) Outcome {
	return Outcome{
		ID: o.GetId(), Accepted: o.GetCode() == 0, Code: CodeName(codes.Code(o.GetCode())), //nolint:gosec // a code is small
		Reason: o.GetReason(), Message: o.GetMessage(),
	}
}

// CodeName writes a code as the gRPC specification does, such as NOT_FOUND.
func CodeName(c codes.Code) string {
	var b strings.Builder
	for i, r := range c.String() {
		if i > 0 && 'A' <= r && r <= 'Z' && c != codes.OK {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}
