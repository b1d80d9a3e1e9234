// Package kit runs the conformance test kit of the Open Workflow Specification against a running system, through its public API: it deploys
// what a scenario defines, submits an order, waits for its end, and compares output, error and history with what the scenario says.
//
//	features ──godog──► steps ──► deploy, submit, history ──gRPC──► a system of its own for each scenario
//
// A system is begun for each scenario, as several define different documents by the same name. What a scenario defines and the node
// refuses to deploy is counted as refused: it neither passes nor fails.
//
// How it fails: Run fails if the features can't be read. A scenario that does not hold, or whose system can't be begun, is counted as
// failed, and what is wrong is written beside it.
//
// What it is not: it knows nothing of how a system is made, and the features are no part of this project.
package kit
