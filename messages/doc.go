// Package messages holds the vocabulary of Holdfast: typed ids, and in its subpackages the code generated from the
// .proto files. It imports nothing of the project.
package messages
