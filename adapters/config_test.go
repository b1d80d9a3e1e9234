package adapters

import (
	"strings"
	"testing"
	"time"
)

// A time that could be added to none is refused by name.
func TestConfigBoundsDurations(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Config{
		"drain timeout is -1s":    {DrainTimeout: -time.Second},
		"keep for is 2500000h0m0": {KeepFor: 2_500_000 * time.Hour},
		"resend after is 87601h":  {ResendAfter: 87_601 * time.Hour},
	} {
		if err := c.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
