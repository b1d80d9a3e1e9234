// Package holdfast is the root of the module. It holds no code: only the test that keeps the layout, which is who may
// import whom, what a pure package must not do, and the few house rules that no linter knows.
//
// Start at README.md; the parts are described in the doc.go of each folder.
package holdfast
