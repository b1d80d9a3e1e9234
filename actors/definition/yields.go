package definition

import (
	"slices"

	"github.com/itchyny/gojq"
)

// In jq the state of a reduce or foreach whose update yields nothing becomes null; the interpreter would keep the old one.
// Where that can happen, the update is made to say so.

// orNothing has an update yield nothing's stand-in if it yields nothing.
func orNothing(update *gojq.Query) *gojq.Query {
	mark := call(budgetName("mark"), variable(cellVariable))
	marked := call(budgetName("isMarked"), variable(cellVariable))
	once := &gojq.Query{Left: pipe(update, mark), Op: gojq.OpComma, Right: condition(marked, call("empty"), call(budgetName("nothing")))}
	state := condition(call(budgetName("isNothing")), nullTerm(), identityTerm())
	return pipe(state, bind(call(budgetName("cell")), cellVariable, once))
}

// unlessNothing has an extract pass over nothing's stand-in.
func unlessNothing(extract *gojq.Query) *gojq.Query {
	if extract == nil {
		extract = identityTerm()
	}
	return condition(call(budgetName("isNothing")), call("empty"), extract)
}

func condition(is, then, otherwise *gojq.Query) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeIf, If: &gojq.If{Cond: is, Then: then, Else: otherwise}}}
}

// single are functions that yield a value for each value of their arguments, or fail; collecting those that yield one
// whatever their arguments yield.
var (
	single = functionSet(`
not/0 error/0 type/0 length/0 utf8bytelength/0 abs/0 toboolean/0 isinfinite/0 isnan/0 isnormal/0 tostring/0 tojson/0
fromjson/0 tonumber/0 keys/0 keys_unsorted/0 add/0 reverse/0 explode/0 implode/0 ascii_downcase/0 ascii_upcase/0 transpose/0
flatten/0 min/0 max/0 sort/0 unique/0 to_entries/0 from_entries/0 first/0 last/0 any/0 all/0 ltrim/0 rtrim/0 trim/0 floor/0
sqrt/0 round/0 ceil/0 toarray/0 todate/0 fromdate/0 mktime/0 gmtime/0 infinite/0 nan/0
has/1 join/1 split/1 contains/1 inside/1 index/1 rindex/1 indices/1 startswith/1 endswith/1 ltrimstr/1 rtrimstr/1 trimstr/1
getpath/1 flatten/1 strftime/1 strptime/1 test/1 nth/1 error/1 pow/2 setpath/2
`)
	collecting = functionSet(`
map/1 map_values/1 sort_by/1 group_by/1 unique_by/1 min_by/1 max_by/1 with_entries/1 add/1 any/1 all/1 del/1 pick/1 isempty/1
INDEX/1 INDEX/2 IN/1 any/2 all/2
`)
)

// yields tells whether a query surely yields a value, or fails. What it doesn't know it takes for one that may yield nothing.
func yields(q *gojq.Query, n *names) bool {
	switch {
	case q == nil:
		return true
	case len(q.FuncDefs) > 0:
		return false
	case q.Term != nil:
		return termYields(q.Term, n)
	}
	switch q.Op {
	case gojq.OpComma:
		return yields(q.Left, n) || yields(q.Right, n)
	case gojq.OpModify:
		return true
	case gojq.OpAlt, gojq.OpAssign, gojq.OpUpdateAdd, gojq.OpUpdateSub, gojq.OpUpdateMul, gojq.OpUpdateDiv, gojq.OpUpdateMod,
		gojq.OpUpdateAlt:
		return yields(q.Right, n)
	default:
		return yields(q.Left, n) && yields(q.Right, n)
	}
}

func termYields(t *gojq.Term, n *names) bool {
	all := func(queries ...*gojq.Query) bool {
		return !slices.ContainsFunc(queries, func(q *gojq.Query) bool { return !yields(q, n) })
	}
	for _, s := range t.SuffixList {
		if s.Iter || s.Optional || s.Index == nil || !all(s.Index.Start, s.Index.End) || !stringYields(s.Index.Str, n) {
			return false
		}
	}
	switch t.Type {
	case gojq.TermTypeIdentity, gojq.TermTypeRecurse, gojq.TermTypeNull, gojq.TermTypeTrue, gojq.TermTypeFalse,
		gojq.TermTypeArray, gojq.TermTypeNumber:
		return true
	case gojq.TermTypeIndex:
		return all(t.Index.Start, t.Index.End) && stringYields(t.Index.Str, n)
	case gojq.TermTypeFunc:
		key := functionKey(t.Func.Name, len(t.Func.Args))
		return t.Func.Name[0] == '$' || !n.has(key) && (collecting[key] || single[key] && all(t.Func.Args...))
	case gojq.TermTypeObject:
		for _, kv := range t.Object.KeyVals {
			if !all(kv.KeyQuery, kv.Val) || !stringYields(kv.KeyString, n) {
				return false
			}
		}
		return true
	case gojq.TermTypeUnary:
		return termYields(t.Unary.Term, n)
	case gojq.TermTypeFormat, gojq.TermTypeString:
		return stringYields(t.Str, n)
	case gojq.TermTypeIf:
		for _, e := range t.If.Elif {
			if !all(e.Cond, e.Then) {
				return false
			}
		}
		return all(t.If.Cond, t.If.Then, t.If.Else)
	case gojq.TermTypeReduce:
		return all(t.Reduce.Start)
	case gojq.TermTypeQuery:
		return all(t.Query)
	default:
		return false
	}
}

func stringYields(s *gojq.String, n *names) bool {
	return s == nil || !slices.ContainsFunc(s.Queries, func(q *gojq.Query) bool { return !yields(q, n) })
}
