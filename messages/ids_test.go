package messages_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// A handle bears the time of acceptance and the partition, and handles of one process rise, also when the time does not.
func TestNewHandle(t *testing.T) {
	t.Parallel()
	at := time.Date(2100, 1, 2, 3, 4, 5, 678_900_000, time.UTC)
	var last messages.Handle
	for n, later := range []time.Duration{0, 0, time.Microsecond, 250, -time.Hour, 0, time.Second, 999_999} {
		at = at.Add(later)
		least := messages.HandleAt(at)
		h := messages.NewHandle(messages.Partition(n), at)
		if bytes.Compare(h[:], last[:]) <= 0 || bytes.Compare(h[:], least[:]) < 0 {
			t.Errorf("%v, made at %v, comes after %v", h, at, last)
		}
		if later >= 0 && n < 4 && h.Time().UnixMilli() != at.UnixMilli() {
			t.Errorf("%v was made at %v, and says %v", h, at, h.Time())
		}
		if h.Partition() != messages.Partition(n) || h[6]>>4 != 7 || h[8]>>6 != 2 {
			t.Errorf("%v is not of partition %d, or no UUID of version 7", h, n)
		}
		last = h
	}
}

// A key is of the order whose id it begins with, not of one with a part of that id.
func TestKeys(t *testing.T) {
	t.Parallel()
	id := messages.OrderID("a-1")
	for key, own := range map[string]bool{
		id.Key("/do/0/a"): true, id.Key("/do/0/a") + "#2": true,
		"a-12:/do/0/a": false, "a:/do/0/a": false, ":/do/0/a": false, "": false,
	} {
		if got := id.HasKey(key); got != own {
			t.Errorf("%q is its key: %t", key, got)
		}
	}
}
