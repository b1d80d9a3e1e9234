package adapters_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	runBenchChild()
	goleak.VerifyTestMain(m)
}
