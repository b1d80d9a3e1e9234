package definition

import "github.com/holdfast-run/holdfast/actors/workflow"

// What a compiled definition takes in memory, as was measured: documents of long texts some 2 bytes for each of theirs, lists of numbers
// 20, objects 50, jq programs 60 to 110. A function adds tasks each time that it is called, without a byte of its own.
const (
	footprint     = 4 << 10
	footprintByte = 60
	footprintTask = 2 << 10
)

// Footprint is about how many bytes of memory a definition takes whose document has so many. It takes at most twice as many, and far
// fewer if its texts are long.
func Footprint(def *workflow.Definition, document int) int64 {
	return footprint + footprintByte*int64(document) + footprintTask*int64(len(def.Tasks))
}
