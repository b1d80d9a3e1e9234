// Package remoting carries messages between nodes: envelopes for partitions, the answers to them, and the lease's question whether a
// peer has evidence of renewal. It knows no members and no owners: it is told who the peers are, and sends where it is told to.
//
//	engine ── PID of a node ──► link: queue ──► frame ──► gRPC stream ──► guard ──► reader ──► Receiver ──► engine there
//	Receiver ◄── reader ◄── guard ◄── gRPC stream ◄── frame ◄── queue :link ◄── Answer ◄──────────────────────┘
//
// A node is addressed by where it is reached and which of its lives it is. What is sent to one life never reaches the next one under the
// same address: both sides say at connecting which incarnation they are, and want, and each parcel says it again. If the next one is met in
// place of the one before, Receiver.Found tells: Consul may not know that it has ended.
//
// A link to each peer sends, in order, and connects by itself:
//
//	            connected                the connection ends
//	connecting ───────────► up ──────────────────────────────► connecting …
//	    │  ▲                 ▲
//	    │  └─────────────────│──────── (a message waits while the first attempt is made)
//	    ▼ failed             │
//	   down ─────────────────┘ after 0.1 to 1 s, or 30 s where the nodes can't work together: why is told once
//
// What a sender can rely on: a message may be lost, late or doubled, and Send and Answer never block. If an ask certainly does not arrive
// it is answered at once: BUSY if the link's queue is full, NOT_OWNER if the node can't be reached, so that its owner is looked up
// again. If it may have arrived, as the connection ended while it was sent, it is answered INTERRUPTED. Receiver.Lost tells whenever a
// connection in either direction ends or is made anew, or a node is no peer any more: asks sent before may never be answered.
// Longer messages than MaxLetter are refused before they are sent, and an answer that is too long is replaced by one that says so.
//
// # What goes over the wire
//
// The protocol is protoactor's: the service remote.Remoting, its frames (RemoteMessage), its exchange at the beginning of a stream, and
// its way to plug into an actor system, a resolver of addresses. A frame holds one message of one kind for one actor: a Parcel. The
// endpoints at both ends are ours, as protoactor's have been found unfit for a node that must not fail:
//
//   - Their queue of a link has no bound: what is configured is how long it is at first. A full queue can't be told to the sender.
//   - A number of a type or a target that is out of range panics, and ends the process; any actor can be sent a Stop.
//   - A stream that its server has ended properly leaves an endpoint that swallows all messages for ever.
//   - A connection that fails keeps a goroutine asleep for 2 s each time, five times over; one that gets no answer, for ever.
//   - Start replaces the logger of gRPC for the whole process, while others use it; Stop can panic, and its end races with streams.
//
// # Who may connect
//
// Both sides show a certificate (TLS 1.3). It counts if an authority in the file CA stands for it, for clients and servers both, and one
// of its alternative names, a URI or a DNS name, is on the list Allow; the common name and the host name count for nothing. An asterisk in
// the list stands for one whole segment of a path, or one label: spiffe://prod.example/holdfast/* or *.nodes.example. Who has such a
// certificate and its key is a node, and can do all that a node can.
//
// Certificate, key and authorities are read again when the files change. What is bad (a key that does not fit, a certificate that other
// nodes would refuse) is told once in the log and in holdfast_remoting_certificate_reloads_total{outcome="refused"}, and what was there
// before stays. After a change, connections end whose other side is not trusted any more. To replace an authority: add the new one to
// the file CA of all nodes; give all nodes certificates of the new one; take the old one out.
//
// Without TLS, nodes believe each other; that has to be asked for (Plaintext), and works on loopback addresses only.
//
// # Versions
//
// Both sides tell product version, the levels of this protocol that they speak, the highest feature level of the journal that they read,
// their incarnation and their cluster. They speak the highest level that both know; if there is none, or the clusters differ, the
// connection is refused, by both. Letters of later versions are passed over and counted, and their askers are told.
//
// # How it fails
//
// Nothing that comes from outside can end the process, or make it hold more than it was configured to: connections, streams, headers,
// frames, what a frame holds, and letters are bounded before they are read; panics are recovered. What must not be there is refused and
// counted (holdfast_remoting_refused_total), what is sound beside it is delivered, and the stream is ended with the reason. A letter that
// can't be read does not end the stream.
//
// What it is not: it does not keep messages for a node that is away, does not repeat them, and does not watch actors of other nodes.
package remoting
