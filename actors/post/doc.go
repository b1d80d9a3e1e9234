// Package post brings messages to orders and partitions, wherever they are, and keeps what is asked until it is answered.
//
// An ask ends once: by its answer, at its deadline, with the partition that asked, or because this node stops. If nobody owns the
// partition that it is for, or that moves, it is sent again, to whoever owns it then, until its deadline:
//
//	Ask ──► on its way ──► answered
//	            │  ▲ │
//	  not owner ▼  │ └──► interrupted: deadline, asker's partition lost, node left
//	          waits a while
//
// A Waiter is told besides when nobody has the message, or there is no answer for a while, and may lose interest.
//
// How it fails: messages and answers may be lost, and the ask is then interrupted at its deadline. A message is sent again only if it
// was certainly not taken.
//
// What it is not: it does not know what messages mean, nor who owns a partition.
package post
