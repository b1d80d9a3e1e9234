package main

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// What each server lacks is told, what can be done about it, and the word by which it is confirmed; and nothing else is offered.
func TestLossIsTold(t *testing.T) {
	t.Parallel()
	lost := []*adminv1.LostBatches{
		{Incarnation: "node-1/a", Lane: 0, Confirmed: 4711, Has: 4702}, {Incarnation: "node-2/b", Lane: 1, Confirmed: 7, Has: 6},
	}
	away := &adminv1.JournalServer{Address: "db-1:5432/holdfast", Unreachable: "connection refused"}
	lacks := &adminv1.JournalServer{Address: "db-2:5432/holdfast", Timeline: 2, Journal: "j", Lost: lost, Confirm: "3f9a0c11d2e4"}
	unknown := &adminv1.JournalServer{
		Address: "db-2:5432/holdfast", Journal: "j", Lost: lost, Confirm: "3f9a0c11d2e4",
		Unreadable: []string{"holdfast/watermarks/n/1", "holdfast/watermarks/n/2"},
	}
	standby := &adminv1.JournalServer{Address: "db-3:5432/holdfast", Journal: "j", Standby: true}
	before := &adminv1.JournalServer{
		Address: "db-4:5432/holdfast", Journal: "j", Unacceptable: "the server db-2 has everything",
		Lost: []*adminv1.LostBatches{{Incarnation: "accepted-loss/x", Lane: -1, Generation: 1, Confirmed: 1}},
	}
	for _, tt := range []struct {
		name         string
		servers      []*adminv1.JournalServer
		want, absent []string
	}{
		{"one lacks something", []*adminv1.JournalServer{away, lacks}, []string{
			"away", "lacks", "batches 4703 to 4711 of lane 0 of node-1/a; batch 7 of lane 1 of node-2/b",
			"make sure that those which are away stay so", "db-2:5432/holdfast:\n  holdfast cluster accept-loss --confirm 3f9a0c11d2e4\n",
		}, []string{"nothing is lost"}},
		{"a standby lacks nothing", []*adminv1.JournalServer{lacks, standby}, []string{
			"standby", "nothing is lost if this server is made the primary, which lacks nothing: db-3:5432/holdfast\n",
		}, nil},
		{"the primary of before", []*adminv1.JournalServer{before}, []string{
			"all of generation 1, as is known of accepted-loss/x; the server db-2 has everything",
		}, []string{"--confirm"}},
		{"something is not known", []*adminv1.JournalServer{away, unknown}, []string{
			"any server may lack it, too", "Delete these keys in Consul then: holdfast/watermarks/n/1, holdfast/watermarks/n/2\n", "--confirm 3f9a0c11d2e4\n",
		}, nil},
		{"nothing lacks", []*adminv1.JournalServer{away, standby}, []string{"no server that takes writes lacks anything"}, []string{"--confirm"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			f.admin.unary = func(m proto.Message) { proto.Merge(m, &adminv1.ShowLossResponse{Servers: tt.servers}) }
			o := f.run("cluster", "accept-loss")
			for _, want := range tt.want {
				if o.status != exitOK || !strings.Contains(o.stdout, want) {
					t.Errorf("%q is missing: %+v", want, o)
				}
			}
			for _, absent := range tt.absent {
				if strings.Contains(o.stdout, absent) {
					t.Errorf("%q is told: %+v", absent, o)
				}
			}
		})
	}
}

// What is confirmed is what is given, and what has begun is told.
func TestLossIsConfirmed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.admin.unary = func(m proto.Message) { proto.Merge(m, &adminv1.AcceptLossResponse{Generation: 3}) }
	if o := f.run("cluster", "accept-loss", "--confirm", "3f9a0c11d2e4"); o.status != exitOK || !strings.Contains(o.stdout, "generation 3 has begun") {
		t.Errorf("accepted: %+v", o)
	}
}
