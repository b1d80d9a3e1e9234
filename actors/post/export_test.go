package post

import "github.com/asynkron/protoactor-go/actor"

// StartWith has it send by a function, in place of an actor system.
func (p *Post) StartWith(send func(to *actor.PID, message any)) { p.send = send }
