package cluster

import proto "github.com/asynkron/protoactor-go/cluster"

// Lookup returns what the cluster finds orders with.
func (s *Single) Lookup() proto.IdentityLookup { return s.lookup }
