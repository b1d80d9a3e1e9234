// Package definition turns a document of the Open Workflow Specification, YAML or JSON, into a compiled workflow that
// the machine runs. docs/language.md says what of the language there is.
//
//	document ──parse──► nodes with places ──compile──► workflow.Definition
//	                        │                   │
//	                        └───── mistakes ────┘
//
// Compile is a function: it has no state, and the same document gives the same definition. It reads the whole document
// and tells everything that is wrong with it at once, each mistake with its place. A definition either compiles without
// a mistake or not at all.
//
// Expressions are compiled once, here. What needs no interpreter gets none: constants are encoded beforehand, the
// identity gives its input back, and plain paths such as .a.b are cut out of the bytes. The rest is jq, run by gojq under
// a budget of steps, memory and time: a rewriter changes the parsed program so that each operation that could make or
// visit much at once first asks the budget, and functions that depend on the machine or the moment are refused. An
// evaluation that exceeds the budget ends with an error; nothing in the program can catch that.
//
// How it fails: Compile never panics on any input, and takes time and memory in proportion to the document and the
// limits. Errors of expressions, durations and schemas at run time are the definition's fault or the data's: the machine
// raises them as errors of the workflow.
//
// What it is not: it runs nothing, stores nothing, loads nothing from elsewhere, and doesn't know which activities
// adapters offer.
package definition
