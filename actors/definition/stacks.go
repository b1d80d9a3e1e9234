package definition

import (
	"reflect"
	"sync"

	"github.com/itchyny/gojq"
)

// stackFields are the slices that an interpreter keeps for what it has begun and not ended: calls, values, and the places to
// come back to. Its package doesn't tell how long they are, so they are looked at from outside.
var stackFields = sync.OnceValue(func() [][]int {
	q, err := gojq.Parse(".")
	if err != nil {
		panic("definition: " + err.Error())
	}
	code, err := gojq.Compile(q)
	if err != nil {
		panic("definition: " + err.Error())
	}
	interpreter := reflect.TypeOf(code.Run(nil)).Elem()
	var fields [][]int
	for _, names := range [][]string{{"values"}, {"forks"}, {"stack", "data"}, {"scopes", "data"}, {"paths", "data"}} {
		var index []int
		t := interpreter
		for _, name := range names {
			if t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			f, ok := t.FieldByName(name)
			if !ok {
				panic("definition: the interpreter has no field " + name)
			}
			index, t = append(index, f.Index...), f.Type
		}
		if t.Kind() != reflect.Slice {
			panic("definition: not a slice of the interpreter: " + names[0])
		}
		fields = append(fields, index)
	}
	return fields
})

// stackSize returns what the stacks of a running program take, in bytes.
func stackSize(interpreter reflect.Value) int64 {
	size := int64(0)
	for _, index := range stackFields() {
		slice := interpreter.FieldByIndex(index)
		size += int64(slice.Cap()) * int64(slice.Type().Elem().Size()) //nolint:gosec // the sizes of what is in memory
	}
	return size
}
