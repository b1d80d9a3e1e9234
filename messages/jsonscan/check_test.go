package jsonscan_test

import (
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/messages/jsonscan"
)

func TestCheckBoundsDepth(t *testing.T) {
	t.Parallel()
	nested := func(n int) string {
		return strings.Repeat(`[{"a":`, n/2) + strings.Repeat("[", n%2) + "1" + strings.Repeat("]", n%2) + strings.Repeat(`}]`, n/2)
	}
	for _, value := range []string{"1", `"[[[[[["`, nested(1), nested(5), `[` + strings.Repeat(nested(4)+",", 9) + "2]", `{"[[[[[":"{{{{{"}`} {
		if err := jsonscan.Check([]byte(value), 5); err != nil {
			t.Errorf("%s: %v", value, err)
		}
	}
	for _, value := range []string{nested(6), nested(1000), "[[[[[[]]]]]]", `{"a":1,"b":[` + nested(4) + `]}`} {
		if err := jsonscan.Check([]byte(value), 5); err == nil || !strings.Contains(err.Error(), "limit of 5") {
			t.Errorf("%.60s: %v", value, err)
		}
	}
}
