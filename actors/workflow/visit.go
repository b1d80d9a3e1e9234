package workflow

import "strconv"

type visit struct {
	count, attempt uint32
	// over: it succeeded, or an operator settled it: the next one has a key of its own.
	over, doubt bool
	late        bool   // the last attempt succeeded, as came out when its task had been left
	ledger      string // that an attempt was handed to last
	// suspect: processes died under it until it was set apart.
	suspect bool
	// failed is what it would have done, if its last attempt failed and it could be undone.
	failed *deed
}

// visit returns the visit of a task that an attempt belongs to: the last one, or if that is over, the next.
func (s *State) visit(ref string) *visit {
	v := s.visits[ref]
	switch {
	case v == nil:
		v = &visit{count: 1}
		if s.visits == nil {
			s.visits = map[string]*visit{}
		}
		s.visits[ref] = v
	case v.over:
		v.count++
		*v = visit{count: v.count}
	}
	return v
}

// keyOf is the idempotency key of a visit of a task.
func (s *State) keyOf(ref string, visit uint32) string {
	key := s.accepted.GetOrderId() + ":" + ref
	if visit > 1 {
		key += "#" + strconv.FormatUint(uint64(visit), 10)
	}
	return key
}
