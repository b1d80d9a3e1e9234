package shown

import (
	"encoding/hex"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// Definition is a deployed definition; of a list, without its document.
type Definition struct {
	Definition string     `json:"definition"`
	Title      string     `json:"title"`
	Hash       string     `json:"hash"`
	DeployedAt *time.Time `json:"deployed_at"`
	Activities []string   `json:"activities"`
	Document   string     `json:"document,omitempty"`
	// Retired is set if it takes no new orders any more.
	Retired  *Retired  `json:"retired,omitempty"`
	Warnings []Mistake `json:"warnings,omitempty"`
}

// Validation is what is wrong with a document.
type Validation struct {
	File       string    `json:"file"`
	Definition string    `json:"definition"`
	Valid      bool      `json:"valid"`
	Mistakes   []Mistake `json:"mistakes"`
	Warnings   []Mistake `json:"warnings"`
}

// Mistake is a mistake in a document, or a warning, and where it is.
type Mistake struct {
	Severity string `json:"severity"`
	Line     int32  `json:"line"`
	Column   int32  `json:"column"`
	Path     string `json:"path"`
	Message  string `json:"message"`
	// Resource is the address of what is missing.
	Resource string `json:"resource,omitempty"`
}

// MistakesOf makes the forms of mistakes.
func MistakesOf(ms []*definitionv1.Mistake) []Mistake {
	out := make([]Mistake, len(ms))
	for i, m := range ms {
		out[i] = Mistake{
			Severity: Severity(m), Line: m.GetLine(), Column: m.GetColumn(), Path: m.GetPath(), Message: m.GetMessage(),
			Resource: m.GetResource(),
		}
	}
	return out
}

// Severity is the word for how bad a mistake is.
func Severity(m *definitionv1.Mistake) string {
	if m.GetSeverity() == definitionv1.Severity_SEVERITY_WARNING {
		return "warning"
	}
	return "error"
}

// Retired is who retired a definition, when and why.
type Retired struct {
	At     *time.Time `json:"at"`
	By     string     `json:"by"`
	Reason string     `json:"reason"`
	// RemovedAt is set if it is removed besides.
	RemovedAt *time.Time `json:"removedAt,omitempty"`
}

func retiredOf(r *definitionv1.Retirement) *Retired {
	if r == nil {
		return nil
	}
	return &Retired{At: timeOf(r.GetAt()), By: r.GetBy(), Reason: r.GetReason(), RemovedAt: timeOf(r.GetRemovedAt())}
}

// DefinitionOf makes the form of a definition.
func DefinitionOf(d *definitionv1.Definition) Definition {
	activities := d.GetActivities()
	if activities == nil {
		activities = []string{}
	}
	return Definition{
		Definition: DefinitionName(d), Title: d.GetTitle(), Hash: hex.EncodeToString(d.GetHash()),
		DeployedAt: timeOf(d.GetDeployedAt()), Activities: activities, Document: string(d.GetDocument()),
		Retired: retiredOf(d.GetRetirement()),
	}
}

// DefinitionName is a definition's namespace/name:version.
func DefinitionName(d *definitionv1.Definition) string {
	return messages.RefOf(d).String()
}
