package definition

import (
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// costDepth is how deep values nest whose cost is known. Deeper ones count as this deep: by then the cost of a schema
// that doubles it with each level is beyond all bounds, and that of any other grows little more.
const costDepth = 64

// schemaCost bounds the work of checking a value. A schema can apply others to the same value (allOf, $ref …) and to the
// elements of the value (properties, items …); if two of them apply to the same element, and so on below, the work
// doubles with each level.
type schemaCost struct {
	root *jsonschema.Schema
	all  []*jsonschema.Schema
	same map[*jsonschema.Schema][]*jsonschema.Schema
	down map[*jsonschema.Schema][]*jsonschema.Schema
}

func newSchemaCost(root *jsonschema.Schema) *schemaCost {
	c := &schemaCost{
		root: root,
		same: make(map[*jsonschema.Schema][]*jsonschema.Schema),
		down: make(map[*jsonschema.Schema][]*jsonschema.Schema),
	}
	c.visit(root)
	return c
}

func (c *schemaCost) visit(s *jsonschema.Schema) {
	if _, seen := c.same[s]; seen {
		return
	}
	c.all = append(c.all, s)
	same, down := appliedTo(s)
	c.same[s], c.down[s] = same, down
	for _, t := range same {
		c.visit(t)
	}
	for _, t := range down {
		c.visit(t)
	}
	for _, t := range oneOf(s) {
		c.visit(t)
	}
}

// appliedTo returns the schemas that a schema applies to the value itself and those it applies to its elements.
func appliedTo(s *jsonschema.Schema) (same, down []*jsonschema.Schema) {
	add := func(list *[]*jsonschema.Schema, schemas ...any) {
		for _, t := range schemas {
			if t, ok := t.(*jsonschema.Schema); ok && t != nil {
				*list = append(*list, t)
			}
		}
	}
	add(&same, s.Ref, s.RecursiveRef, s.Not, s.If, s.Then, s.Else, s.ContentSchema)
	if s.DynamicRef != nil {
		add(&same, s.DynamicRef.Ref)
	}
	for _, list := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf} {
		same = append(same, list...)
	}
	for _, t := range s.DependentSchemas {
		add(&same, t)
	}
	for _, t := range s.Dependencies {
		add(&same, t)
	}
	add(&down, s.PropertyNames, s.AdditionalProperties, s.UnevaluatedProperties, s.Contains, s.Items, s.AdditionalItems,
		s.Items2020, s.UnevaluatedItems)
	for _, t := range s.PatternProperties {
		add(&down, t)
	}
	return same, down
}

// What takes as long as the application of a schema, some 100 ns: the comparison with a few values, or a part of that with a number, which
// is calculated exactly; and the matching of a byte with a pattern.
const (
	comparedValues = 32
	numberCost     = 16
	hashCost       = 8
)

// partCost is what one schema costs for a part of a value, without the schemas that it applies.
func partCost(s *jsonschema.Schema) int64 {
	cost := int64(1)
	if s.Enum != nil {
		values := 0
		for _, v := range s.Enum.Values {
			parts, numbers := partsOf(v)
			values += parts
			cost += int64(numbers) * numberCost
		}
		cost += int64(values / comparedValues)
	}
	if s.Const != nil {
		_, numbers := partsOf(*s.Const)
		cost += int64(numbers) * numberCost
	}
	if s.UniqueItems {
		cost += hashCost
	}
	return cost
}

// partsOf counts the parts of a value, and those of them that are numbers.
func partsOf(v any) (parts, numbers int) {
	add := func(v any) {
		p, n := partsOf(v)
		parts, numbers = parts+p, numbers+n
	}
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			add(e)
		}
	case []any:
		for _, e := range v {
			add(e)
		}
	case nil, bool, string:
	default:
		numbers++
	}
	return parts + 1, numbers
}

// textCost is what one schema costs for a byte of the texts and names in a value.
func textCost(s *jsonschema.Schema) int64 {
	cost := int64(len(s.PatternProperties))
	if s.Pattern != nil {
		cost++
	}
	if s.Format != nil {
		cost++
	}
	return cost
}

// texts tells whether any schema costs something for texts.
func (c *schemaCost) texts() bool {
	return slices.ContainsFunc(c.all, func(s *jsonschema.Schema) bool { return textCost(s) > 0 })
}

// costs returns, by the depth of a value, what one part of it costs at most, by what each schema costs that is applied to it.
func (c *schemaCost) costs(own func(*jsonschema.Schema) int64) []int64 {
	const most = maxChecks + 1
	deeper := make(map[*jsonschema.Schema]int64, len(c.all)) // the cost with one level less
	result := make([]int64, 0, costDepth+1)
	for range costDepth + 1 {
		now := make(map[*jsonschema.Schema]int64, len(c.all))
		onWay := make(map[*jsonschema.Schema]bool)
		var cost func(s *jsonschema.Schema) int64
		cost = func(s *jsonschema.Schema) int64 {
			if v, done := now[s]; done {
				return v
			}
			if onWay[s] {
				return 0 // the validator finds such cycles
			}
			onWay[s] = true
			sum := min(own(s), most)
			for _, t := range c.same[s] {
				sum = min(sum+cost(t), most)
			}
			for _, t := range c.down[s] {
				sum = min(sum+deeper[t], most)
			}
			highest := int64(0)
			for _, t := range oneOf(s) {
				highest = max(highest, deeper[t])
			}
			sum = min(sum+highest, most)
			delete(onWay, s)
			now[s] = sum
			return sum
		}
		result = append(result, cost(c.root))
		for _, s := range c.all {
			cost(s)
		}
		deeper = now
	}
	return result
}

// oneOf returns the schemas for properties of different names and for elements at different places: to an element, only
// one of them applies.
func oneOf(s *jsonschema.Schema) []*jsonschema.Schema {
	list := slices.Clone(s.PrefixItems)
	for _, t := range s.Properties {
		list = append(list, t)
	}
	items, _ := s.Items.([]*jsonschema.Schema)
	return append(list, items...)
}
