// Command telecom is the scenario that Holdfast is shown and tested with: the activation of a mobile subscriber, with the
// number brought along from another operator. README.md describes the flow.
//
// It plays all the parts around the engine, each as a process of its own:
//
//	telecom downstream NAME   one system of the operator; the only one that knows what really happened, in its log
//	telecom adapter NAME      the adapter for that system, made with the SDK
//	telecom check             compares the logs with the order histories
//	telecom demo              starts all of it with `holdfast dev`, submits the sample orders, and runs the check
//
//	  holdfast dev ──► node ◄── adapter hss     ──HTTP──► downstream hss     ──► hss.jsonl ──┐
//	                    ▲  ◄── … five others    ──HTTP──► …                  ──► …           ├──► check
//	                    └───────── gRPC ── demo ──────────────────────────────► histories ───┘
//
// A downstream applies each idempotency key once. It survives kill -9: its memory is its log, read again at the next
// start. How it fails is set by flags and PUT /control: refusals (422), unavailability (503), lost answers, delays. An
// adapter passes the key of its task on, so it may ask again whenever no answer came.
//
// What it is not: a model of how these systems speak. They all understand the same few lines of JSON.
package main
