// Package graph draws definitions. It makes a graph of a document of the Open Workflow Specification, lays it out from
// top to bottom, and writes it as SVG, or as a flowchart of Mermaid.
//
//	document ──read──► value ──build──► Graph ──arrange──► boxes and routes ──► SVG
//	                                      └───────────────────────────────────► Mermaid
//
// The graph is made of the document alone, in the order in which it is written, and not of a compiled definition: so it also shows
// what Holdfast does not run yet. Each task is a node that bears the reference of the task, as histories and errors tell it; a task with
// tasks inside is a group. What belongs to no task has no reference: start and end, the clause that catches, what a loop does next.
//
// The layout of a group knows nothing of the language. Its children stand in layers, so that what comes later is further down;
// places for labels and for edges that pass by a layer are boxes like the others. Between two layers there is a channel, where edges
// go sideways, each on a track of its own. What goes back, or very far, takes a lane beside all boxes. So no edge runs through a box,
// by construction. All of it is calculated with whole numbers: a document has the same picture everywhere.
//
// How it fails: a document that can't be read, or is beyond a bound of Config, is an error, and there is no other. What is wrong
// with a task is not this package's to tell: a part that is not as the language has it is left out. Time and memory are in proportion
// to the document and the bounds, whatever is in it.
//
// What it is not: it checks no definition, reads and writes no files, and knows no order.
package graph
