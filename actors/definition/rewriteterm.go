package definition

import (
	"github.com/itchyny/gojq"
)

// term changes a term.
func (r *rewriter) term(t *gojq.Term, n *names) *gojq.Term {
	result := r.base(t, n)
	for _, s := range t.SuffixList {
		switch {
		case s.Iter:
			// Iterating takes a list of all elements first.
			result = parenthesis(pipe(&gojq.Query{Term: result}, charge("iterate")))
			result.SuffixList = append(result.SuffixList, s)
		case s.Index != nil:
			if isIndexed(s.Index) {
				result = parenthesis(pipe(&gojq.Query{Term: result}, call(budgetName("indexed"))))
			}
			result.SuffixList = append(result.SuffixList, &gojq.Suffix{Index: r.index(s.Index, n)})
		default:
			result.SuffixList = append(result.SuffixList, s)
		}
	}
	return result
}

// base changes a term without its suffixes.
func (r *rewriter) base(t *gojq.Term, n *names) *gojq.Term {
	result := *t
	result.SuffixList = nil
	switch t.Type {
	case gojq.TermTypeRecurse:
		return r.library1(call("recurse")).Term
	case gojq.TermTypeIndex:
		result.Index = r.index(t.Index, n)
		if isIndexed(t.Index) {
			return parenthesis(pipe(call(budgetName("indexed")), &gojq.Query{Term: &result}))
		}
	case gojq.TermTypeFunc:
		if t.Func.Name == locationVariable {
			return r.location()
		}
		result.Func = r.function(t.Func, n)
	case gojq.TermTypeObject:
		result.Object = r.object(t.Object, n)
	case gojq.TermTypeArray:
		result.Array = &gojq.Array{Query: r.query(t.Array.Query, n)}
	case gojq.TermTypeNumber:
		if len(t.Number) > maxDigits {
			r.failf(t.Number, "a number has more than %d digits", maxDigits)
		}
	case gojq.TermTypeUnary:
		if _, ok := literal(&gojq.Query{Term: &result}); !ok {
			result.Unary = &gojq.Unary{Op: t.Unary.Op, Term: r.term(t.Unary.Term, n)}
		}
	case gojq.TermTypeFormat:
		return r.format(t, n)
	case gojq.TermTypeString:
		if t.Str.Queries != nil {
			return parenthesis(r.interpolation(t.Str, "tostring", n))
		}
	case gojq.TermTypeIf:
		result.If = r.branches(t.If, n)
	case gojq.TermTypeTry:
		result.Try = &gojq.Try{Body: r.query(t.Try.Body, n), Catch: r.query(t.Try.Catch, n)}
	case gojq.TermTypeReduce:
		f := *t.Reduce
		f.Query, f.Start = r.query(f.Query, n), r.query(f.Start, n)
		for _, p := range f.Patterns {
			n = r.pattern(p, n)
		}
		always := r.inPrelude || yields(f.Update, n)
		if f.Update = r.query(f.Update, n); !always {
			f.Update = call("last", &gojq.Query{Left: nullTerm(), Op: gojq.OpComma, Right: f.Update})
		}
		result.Reduce = &f
	case gojq.TermTypeForeach:
		f := *t.Foreach
		f.Query, f.Start = r.query(f.Query, n), r.query(f.Start, n)
		for _, p := range f.Patterns {
			n = r.pattern(p, n)
		}
		always := r.inPrelude || yields(f.Update, n)
		if f.Update, f.Extract = r.query(f.Update, n), r.query(f.Extract, n); !always {
			f.Update, f.Extract = orNothing(f.Update), unlessNothing(f.Extract)
		}
		result.Foreach = &f
	case gojq.TermTypeLabel:
		result.Label = &gojq.Label{Ident: t.Label.Ident, Body: r.query(t.Label.Body, n)}
	case gojq.TermTypeQuery:
		result.Query = r.query(t.Query, n)
	default: // nothing inside
	}
	return &result
}

func (r *rewriter) branches(c *gojq.If, n *names) *gojq.If {
	result := &gojq.If{Cond: r.query(c.Cond, n), Then: r.query(c.Then, n)}
	for _, e := range c.Elif {
		result.Elif = append(result.Elif, &gojq.IfElif{Cond: r.query(e.Cond, n), Then: r.query(e.Then, n)})
	}
	result.Else = r.query(c.Else, n)
	return result
}

// isIndexed tells whether an index may be a number: then strings must be refused, in which the interpreter would find a
// character.
func isIndexed(i *gojq.Index) bool {
	if i.Name != "" || i.Str != nil || i.IsSlice {
		return false
	}
	v, ok := literal(i.Start)
	_, isString := v.(string)
	return !ok || !isString
}

// index changes an index. A list as index would search the value for it, which nothing could charge.
func (r *rewriter) index(i *gojq.Index, n *names) *gojq.Index {
	result := *i
	switch {
	case i.Name != "":
	case i.Str != nil:
		if i.Str.Queries != nil {
			result.Str, result.Start = nil, r.interpolation(i.Str, "tostring", n)
		}
	case i.IsSlice:
		result.Start, result.End = r.query(i.Start, n), r.query(i.End, n)
	default:
		if _, ok := literal(i.Start); !ok {
			result.Start = pipe(r.query(i.Start, n), charge("index"))
		}
	}
	return &result
}

func (r *rewriter) object(o *gojq.Object, n *names) *gojq.Object {
	result := &gojq.Object{}
	for _, kv := range o.KeyVals {
		c := *kv
		switch {
		case c.Key == locationVariable:
			c.Key, c.Val = c.Key[1:], &gojq.Query{Term: r.location()}
			result.KeyVals = append(result.KeyVals, &c)
			continue
		case len(c.Key) > 0 && c.Key[0] == '$':
			r.variableUse(c.Key, n)
		}
		if c.KeyString != nil && c.KeyString.Queries != nil {
			if c.Val == nil {
				r.failf("", "in an object, give a name that is put together from parts a value too: {\"…\": …}")
			}
			c.KeyQuery, c.KeyString = r.interpolation(c.KeyString, "tostring", n), nil
		} else {
			c.KeyQuery = r.query(c.KeyQuery, n)
		}
		c.Val = r.query(c.Val, n)
		result.KeyVals = append(result.KeyVals, &c)
	}
	return result
}

// formats are those of the language.
var formats = map[string]bool{
	"@text": true, "@json": true, "@html": true, "@uri": true, "@urid": true,
	"@csv": true, "@tsv": true, "@sh": true, "@base64": true, "@base64d": true,
}

func (r *rewriter) format(t *gojq.Term, n *names) *gojq.Term {
	if !formats[t.Format] {
		r.failf(t.Format, "there is no format %s", t.Format)
		return t
	}
	name := "_" + t.Format[1:]
	switch {
	case t.Str == nil:
		return r.library1(call(name)).Term
	case t.Str.Queries == nil:
		return &gojq.Term{Type: gojq.TermTypeString, Str: t.Str}
	default:
		return parenthesis(r.interpolation(t.Str, name, n))
	}
}

// interpolation turns a string with expressions in it into a sum, each expression going through a function.
func (r *rewriter) interpolation(s *gojq.String, through string, n *names) *gojq.Query {
	var sum *gojq.Query
	for _, q := range s.Queries {
		if q.Term.Str == nil {
			q = pipe(r.query(q, n), r.library1(call(through)))
		}
		if sum == nil {
			sum = q
		} else {
			sum = guarded(gojq.OpAdd, sum, q)
		}
	}
	return sum
}

func parenthesis(q *gojq.Query) *gojq.Term { return &gojq.Term{Type: gojq.TermTypeQuery, Query: q} }
