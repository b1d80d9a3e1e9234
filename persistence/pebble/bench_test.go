package pebble_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
	"github.com/holdfast-run/holdfast/persistence/pebble"
)

// BenchmarkOrders makes the commits of orders with three activities: four for each, of about 250 bytes, with 256 orders
// under way. CPU is that of the whole process, so it includes merging.
func BenchmarkOrders(b *testing.B) {
	dir := b.TempDir()
	j, err := pebble.Open(pebble.Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	epochs, err := journaltest.Own(b.Context(), j)
	if err != nil {
		b.Fatal(err)
	}
	const payloadSize = 104
	payload := bytes.Repeat([]byte("payload "), payloadSize/8)
	record, err := proto.Marshal(&journalv1.Record{FeatureLevel: 1, Events: []*journalv1.Event{
		{At: time.Now().UnixNano(), Kind: &journalv1.Event_AttemptEnded{AttemptEnded: &journalv1.AttemptEnded{
			Frame: 1, Attempt: 1, Outcome: journalv1.Outcome_OUTCOME_SUCCEEDED, Output: payload,
		}}},
		{At: time.Now().UnixNano(), Kind: &journalv1.Event_AttemptScheduled{AttemptScheduled: &journalv1.AttemptScheduled{
			Frame: 2, Attempt: 1, Key: "0198c0de-0000-7000-8000-000000000000/do/1/work", Activity: "adapter.activity",
		}}},
	}})
	if err != nil {
		b.Fatal(err)
	}
	var cpu syscall.Rusage
	used := func() time.Duration {
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &cpu); err != nil {
			b.Fatal(err)
		}
		return time.Duration(cpu.Utime.Nano() + cpu.Stime.Nano())
	}
	b.ReportAllocs()
	b.ResetTimer()
	start, startCPU := time.Now(), used()
	var workers sync.WaitGroup
	const inFlight = 256
	for w := range inFlight {
		workers.Go(func() {
			done := make(chan error, 1)
			record, at := slices.Clone(record), bytes.Index(record, payload)
			for i := w; i < b.N; i += inFlight {
				runOrder(b, j, &epochs, record, record[at:at+payloadSize], done)
			}
		})
	}
	workers.Wait()
	commits := float64(4 * b.N)
	b.ReportMetric(commits/time.Since(start).Seconds(), "commits/s")
	b.ReportMetric(float64(used()-startCPU)/float64(time.Microsecond)/commits, "cpu-µs/commit")
	m := j.Metrics()
	b.ReportMetric(float64(m.Fsyncs)/commits, "fsyncs/commit")
	b.StopTimer()
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(size(b, dir))/float64(b.N), "bytes/order")
}

func size(tb testing.TB, dir string) (total int64) {
	tb.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && filepath.Ext(d.Name()) == ".sst" {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		tb.Error(err)
	}
	return total
}

func runOrder(b *testing.B, j *pebble.Journal, epochs *[messages.Partitions]messages.Epoch, record, payload []byte, done chan error) {
	b.Helper()
	id := messages.NewOrderID()
	p := messages.PartitionOf(id, "")
	h := messages.NewHandle(p, time.Now())
	accepted := &journalv1.OrderRow{
		Id: string(id), Definition: "bench/w3:1.0.0", Status: int32(orderv1.Status_STATUS_RUNNING),
		AcceptedAt: time.Now().UnixNano(), Partition: uint32(p),
	}
	open := &journalv1.OpenRow{Id: string(id)}
	for step := range 4 {
		// It can't be compressed, as payloads hardly can.
		for at := 0; at < len(payload); at += 8 {
			binary.LittleEndian.PutUint64(payload[at:], rand.Uint64())
		}
		c := &persistence.Commit{
			Partition: p, Epoch: epochs[p], Handle: h, Expected: messages.Version(2 * step), Events: 2, Record: record,
			Done: func(err error) { done <- err },
		}
		switch step {
		case 0:
			c.ID, c.ContentHash, c.Row, c.Open = id, h[:], accepted, open
		case 3:
			ended := proto.CloneOf(accepted)
			ended.Status, ended.EndedAt = int32(orderv1.Status_STATUS_COMPLETED), time.Now().UnixNano()
			c.Row, c.Close = ended, true
		}
		j.Commit(c)
		if err := <-done; err != nil {
			b.Error(fmt.Errorf("step %d: %w", step, err))
		}
	}
}
