package workflow

import (
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/messages"
)

// The standard error types, in their canonical form.
const (
	ErrorTypeConfiguration  = canonicalErrors + "configuration"
	ErrorTypeValidation     = canonicalErrors + "validation"
	ErrorTypeExpression     = canonicalErrors + "expression"
	ErrorTypeAuthentication = canonicalErrors + "authentication"
	ErrorTypeAuthorization  = canonicalErrors + "authorization"
	ErrorTypeTimeout        = canonicalErrors + "timeout"
	ErrorTypeCommunication  = messages.ErrorTypeCommunication
	ErrorTypeRuntime        = canonicalErrors + "runtime"
)

const canonicalErrors = "https://serverlessworkflow.io/spec/1.0.0/errors/"

// The specification writes the same types under several addresses: in its table, in its examples and conformance kit
// (once with a typing error), and on the host it moved to when it was renamed.
var (
	errorHosts = [...]string{"serverlessworkflow.io", "serverlessworkflow.io.io", "open-workflow-specification.org"}
	errorPaths = [...]string{"/spec/1.0.0/errors/", "/dsl/errors/types/"}
)

// CanonicalErrorType returns the canonical form of a standard error type that is written under another of the
// specification's addresses, and any other type as it is. Two types are the same if their canonical forms are equal.
func CanonicalErrorType(s string) string {
	rest, found := strings.CutPrefix(s, "https://")
	if !found {
		return s
	}
	for _, host := range errorHosts {
		path, found := strings.CutPrefix(rest, host)
		if !found {
			continue
		}
		for _, base := range errorPaths {
			if name, found := strings.CutPrefix(path, base); found && StandardErrorType(name) != "" {
				return canonicalErrors + name
			}
		}
	}
	return s
}

// StandardErrors returns the names of the standard error types.
func StandardErrors() []string {
	return []string{
		"configuration", "validation", "expression", "authentication", "authorization", "timeout", "communication", "runtime",
	}
}

// StandardErrorType returns the canonical form of the standard error type of a name; "" if there is none.
func StandardErrorType(name string) string {
	if slices.Contains(StandardErrors(), name) {
		return canonicalErrors + name
	}
	return ""
}
