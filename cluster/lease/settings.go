package lease

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Settings are the times of a lease. The zero value of a field means its default. All nodes of a cluster must have the same.
type Settings struct {
	// TTL is how long Consul keeps a node passing after a refresh; default 3 s, from 1 s to 1 min. It must be what Consul was told.
	TTL time.Duration
	// Margin is how long before others may take over a node asks its peers; default a quarter of the TTL. Half of it is for the
	// answers: then a node stops dispatching that does not know more. With a longer one a node asks, and stops, for a shorter
	// failure of Consul; with a shorter one there is less time to find out, and to end.
	Margin time.Duration
	// Inquiry is how long peers may take to answer; default a twelfth of the TTL. One that takes longer counts as one that can't be
	// reached. Half of it is how long Consul may take to give a peer newer evidence: if it takes longer, a node that alone is cut off is
	// frozen at first.
	Inquiry time.Duration
	// Guard is how long before others may take over a node is over; default a twelfth of the TTL. It is the time to exit, and makes
	// up for clocks that do not run alike.
	Guard time.Duration
	// Lull is how long a node is without an answer of Consul that has it as passing until it counts as a node without evidence, and
	// until it has to wait before it removes others; default three eighths of the TTL. Answers come every quarter of the TTL: if one
	// takes longer than the difference, a node that is dead is not removed as long.
	Lull time.Duration
}

// Bounds of the TTL.
const (
	leastTTL = time.Second
	mostTTL  = time.Minute
)

// What the registration does: see package consul.
const (
	refreshes = 3 // in a TTL
	reads     = 4 // in a TTL
	// drift bounds how much faster one clock runs than another: by a twentieth. Real ones differ by less than a thousandth.
	drift = 20
)

// withDefaults fills in what was left out and says everything that is wrong.
func (s Settings) withDefaults() (Settings, error) {
	s.TTL = cmp.Or(s.TTL, 3*time.Second)
	s.Margin = cmp.Or(s.Margin, s.TTL/4)
	s.Inquiry = cmp.Or(s.Inquiry, s.TTL/12)
	s.Guard = cmp.Or(s.Guard, s.TTL/12)
	s.Lull = cmp.Or(s.Lull, s.TTL*3/8)
	return s, s.validate()
}

// Validate reports every mistake.
func (s Settings) Validate() error {
	_, err := s.withDefaults()
	return err
}

func (s Settings) validate() error {
	var errs []error
	wrong := func(field string, value time.Duration, format string, args ...any) {
		errs = append(errs, fmt.Errorf("lease: %s is %v: %s", field, value, fmt.Sprintf(format, args...)))
	}
	if s.TTL < leastTTL || s.TTL > mostTTL {
		wrong("TTL", s.TTL, "it must be from %v to %v", leastTTL, mostTTL)
	}
	if most := s.TTL - s.TTL/refreshes - s.Lull; s.Margin <= 0 || s.Margin > most {
		wrong("Margin", s.Margin, "it must be positive, and at most %v, so that peers that have lost Consul too are not asked too soon", most)
	}
	if s.Inquiry <= 0 || s.Inquiry >= s.Margin/2 {
		wrong("Inquiry", s.Inquiry, "it must be positive, and shorter than half of Margin, %v", s.Margin/2)
	}
	if s.Guard < s.TTL/drift || s.Guard >= s.Margin/2 {
		wrong("Guard", s.Guard, "it must be at least %v, for clocks that do not run alike, and shorter than half of Margin, %v",
			s.TTL/drift, s.Margin/2)
	}
	if s.Lull <= s.TTL/reads {
		wrong("Lull", s.Lull, "it must be longer than %v, after which the next answer is asked for", s.TTL/reads)
	}
	return errors.Join(errs...)
}
