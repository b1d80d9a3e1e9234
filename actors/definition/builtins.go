package definition

import (
	_ "embed"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/itchyny/gojq"
)

// harmless are the functions that take a program no time or memory worth mentioning beyond the steps it is charged for.
var harmless = functionSet(`
empty/0 error/0 error/1 not/0 select/1 recurse/1 recurse/2 while/2 until/2 repeat/1 range/1 range/2 range/3
first/1 last/1 nth/2 limit/2 skip/2 isempty/1 all/2 any/2 in/1 has/1
type/0 length/0 utf8bytelength/0 abs/0 toboolean/0 infinite/0 nan/0 isinfinite/0 isnan/0 isfinite/0 isnormal/0
arrays/0 objects/0 iterables/0 booleans/0 numbers/0 finites/0 normals/0 strings/0 nulls/0 values/0 scalars/0
startswith/1 endswith/1 ltrimstr/1 rtrimstr/1 trimstr/1 ltrim/0 rtrim/0 trim/0
gmtime/0 mktime/0 todate/0 fromdate/0 todateiso8601/0 fromdateiso8601/0
sin/0 cos/0 tan/0 asin/0 acos/0 atan/0 sinh/0 cosh/0 tanh/0 asinh/0 acosh/0 atanh/0 floor/0 round/0 nearbyint/0 rint/0
ceil/0 trunc/0 significand/0 fabs/0 sqrt/0 cbrt/0 exp/0 exp10/0 exp2/0 expm1/0 frexp/0 modf/0 log/0 log10/0 log1p/0
log2/0 logb/0 tgamma/0 lgamma/0 erf/0 erfc/0 j0/0 j1/0 y0/0 y1/0 atan2/2 copysign/2 drem/2 fdim/2 fmax/2 fmin/2
fmod/2 hypot/2 nextafter/2 nexttoward/2 remainder/2 ldexp/2 scalb/2 scalbln/2 pow/2 fma/3
`)

func functionSet(list string) map[string]bool {
	set := make(map[string]bool)
	for f := range strings.FieldsSeq(list) {
		set[f] = true
	}
	return set
}

// refused are functions of jq that a definition can't use, and why.
var refused = map[string]string{
	"localtime":         "an expression must not depend on where it runs: use gmtime",
	"strflocaltime":     "an expression must not depend on where it runs: use strftime",
	"input":             "there is only one input, .",
	"inputs":            "there is only one input, .",
	"debug":             "expressions can't write",
	"stderr":            "expressions can't write",
	"env":               "expressions can't read the environment",
	"$ENV":              "expressions can't read the environment",
	"halt":              "use error, or the task \"raise\"",
	"halt_error":        "use error, or the task \"raise\"",
	"input_line_number": "there are no lines here",
	"input_filename":    "there are no files here",
	"builtins":          "what there is changes from version to version",
	"modulemeta":        "there are no modules",
	"get_search_list":   "there are no modules",
	"jn":                "its time is not bounded",
	"yn":                "its time is not bounded",
}

// timed are the functions of the prelude that yield something else each time.
var timed = functionSet("now/0 uuid/0")

//go:embed prelude.jq
var preludeText string

// library is the compiled prelude: functions by name and number of arguments.
type library struct {
	functions map[string]*libraryFunction
	// arities are the numbers of arguments that functions of a name have, of the harmless ones too.
	arities map[string][]int
}

type libraryFunction struct {
	def *gojq.FuncDef
	// position in the prelude: a function comes after those it calls.
	position int
	// calls are the functions of the prelude that it calls.
	calls []string
}

// prelude reads the prelude. It is the same for all programs, and nothing changes it.
var prelude = sync.OnceValue(func() *library {
	parsed, err := gojq.Parse(preludeText)
	if err != nil {
		panic("definition: the prelude is wrong: " + err.Error())
	}
	l := &library{functions: make(map[string]*libraryFunction), arities: make(map[string][]int)}
	for i, def := range parsed.FuncDefs {
		key := functionKey(def.Name, len(def.Args))
		l.functions[key] = &libraryFunction{def: def, position: i}
	}
	for key := range harmless {
		l.note(key)
	}
	for key, f := range l.functions {
		l.note(key)
		r := &rewriter{library: l, inPrelude: true, needed: make(map[string]bool)}
		r.funcDef(f.def, nil)
		if r.wrong != nil {
			panic("definition: the prelude's " + key + " is wrong: " + r.wrong.message)
		}
		delete(r.needed, key)
		for name := range r.needed {
			f.calls = append(f.calls, name)
		}
	}
	for _, f := range l.functions {
		f.def.Name = libraryName(f.def.Name)
	}
	return l
})

func (l *library) note(key string) {
	name, count, _ := strings.Cut(key, "/")
	arity, _ := strconv.Atoi(count)
	l.arities[name] = append(l.arities[name], arity)
	slices.Sort(l.arities[name])
}

// suggestion returns the function that a name may have been meant to be, or "".
func (l *library) suggestion(name string) string {
	return similar(name, slices.DeleteFunc(slices.Sorted(maps.Keys(l.arities)), func(n string) bool { return n[0] == '_' }))
}

// functionKey names a function with its number of arguments, as jq's messages do.
func functionKey(name string, arity int) string { return name + "/" + strconv.Itoa(arity) }

// libraryName is a name that no program can write.
func libraryName(name string) string { return "std::" + name }

// definitions returns the functions needed, and those that they need, each after those it calls.
func (l *library) definitions(needed map[string]bool) []*gojq.FuncDef {
	all := make(map[string]bool)
	var visit func(key string)
	visit = func(key string) {
		if all[key] {
			return
		}
		all[key] = true
		for _, name := range l.functions[key].calls {
			visit(name)
		}
	}
	for key := range needed {
		visit(key)
	}
	functions := make([]*libraryFunction, 0, len(all))
	for key := range all {
		functions = append(functions, l.functions[key])
	}
	slices.SortFunc(functions, func(a, b *libraryFunction) int { return a.position - b.position })
	defs := make([]*gojq.FuncDef, len(functions))
	for i, f := range functions {
		defs[i] = f.def
	}
	return defs
}
