// Package messages holds the vocabulary of Holdfast: typed ids, what clients and nodes have agreed on beside the .proto
// files, and in its subpackages the code generated from those. It imports nothing of the project.
package messages
