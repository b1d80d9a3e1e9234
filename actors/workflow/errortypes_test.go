package workflow_test

import (
	"testing"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

func TestCanonicalErrorType(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		workflow.ErrorTypeTimeout:                                                  workflow.ErrorTypeTimeout,
		"https://serverlessworkflow.io/dsl/errors/types/communication":             workflow.ErrorTypeCommunication,
		"https://serverlessworkflow.io.io/dsl/errors/types/communication":          workflow.ErrorTypeCommunication,
		"https://open-workflow-specification.org/spec/1.0.0/errors/validation":     workflow.ErrorTypeValidation,
		"https://open-workflow-specification.org/dsl/errors/types/runtime":         workflow.ErrorTypeRuntime,
		"https://serverlessworkflow.io/errors/types/compliance":                    "https://serverlessworkflow.io/errors/types/compliance",
		"https://serverlessworkflow.io/dsl/errors/types/compliance":                "https://serverlessworkflow.io/dsl/errors/types/compliance",
		"http://serverlessworkflow.io/dsl/errors/types/communication":              "http://serverlessworkflow.io/dsl/errors/types/communication",
		"https://example.com/serverlessworkflow.io/dsl/errors/types/communication": "https://example.com/serverlessworkflow.io/dsl/errors/types/communication",
		"https://serverlessworkflow.io.example.com/dsl/errors/types/communication": "https://serverlessworkflow.io.example.com/dsl/errors/types/communication",
		"": "",
	} {
		if got := workflow.CanonicalErrorType(in); got != want {
			t.Errorf("CanonicalErrorType(%q) = %q, want %q", in, got, want)
		}
	}
}
