package load

import (
	"bytes"
	"embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

//go:embed definitions/*.yaml
var definitions embed.FS

// script is what a workload submits, and what must come of it.
type script struct {
	document   []byte // the definition
	definition string
	input      []byte
	output     []byte // nil: anything
	wait       orderv1.Wait
}

func (c Config) script() (script, error) {
	quoted := []byte(strconv.Quote(strings.Repeat("0123456789", 10)))
	s := script{input: quoted, output: quoted, wait: orderv1.Wait_WAIT_ENDED}
	name := string(c.Workload)
	switch c.Workload {
	case Accept:
		s.wait = orderv1.Wait_WAIT_ACCEPTED
	case Timers:
		s.input = fmt.Appendf(nil, `{"delay":%q}`, isoDuration(c.Delay))
		s.output = nil
	case W3, W0:
	}
	s.definition = "bench/" + name + ":1.0.0"
	var err error
	if s.document, err = definitions.ReadFile("definitions/" + name + ".yaml"); err != nil {
		return s, fmt.Errorf("definition of %s: %w", c.Workload, err)
	}
	return s, nil
}

// isoDuration writes a duration as ISO 8601 does, in seconds.
func isoDuration(d time.Duration) string {
	return "PT" + strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "S"
}

// request makes an order.
func (s *script) request(id string) *orderv1.SubmitRequest {
	return &orderv1.SubmitRequest{
		Order: &orderv1.WorkOrder{Id: id, Definition: s.definition, Input: s.input}, Wait: s.wait,
	}
}

// judge says what is wrong with the end of an order.
func (s *script) judge(id string, status orderv1.Status, output []byte, problem fmt.Stringer) error {
	if status != orderv1.Status_STATUS_COMPLETED {
		return fmt.Errorf("order %s ended as %v: %v", id, status, problem)
	}
	if s.output != nil && !bytes.Equal(output, s.output) {
		return fmt.Errorf("order %s returned %.200q: %q is expected", id, output, s.output)
	}
	return nil
}
