package messages

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// KindSchedule is the kind of schedules.
const KindSchedule Kind = "schedule"

// ScheduleOf says what the schedule of the definitions of a name is.
func ScheduleOf(namespace, name string) *journalv1.ScheduleOpened {
	sum := sha256.Sum256([]byte(namespace + "/" + name))
	return &journalv1.ScheduleOpened{
		Id:        string(KindSchedule) + "/" + base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]),
		Namespace: namespace, Name: name,
	}
}

const (
	// keptOfName is how much of the name of a definition the ids of its scheduled orders have, in bytes.
	keptOfName = 40
	// firingTime is the due time in the id of a scheduled order, in UTC.
	firingTime = "20060102T150405.000Z"
)

// DueOrderID returns the id of the order of a schedule that is for a due time.
func DueOrderID(s *journalv1.ScheduleOpened, due time.Time) OrderID {
	return firingID(s, due.UTC().Format(firingTime))
}

// EventOrderID returns the id of the order of a schedule that is for events, of which the first has a key.
func EventOrderID(s *journalv1.ScheduleOpened, key [16]byte) OrderID {
	return firingID(s, hex.EncodeToString(key[:]))
}

// firingID tells an order of a schedule from all others: by the name of its definitions, and what it is for.
func firingID(s *journalv1.ScheduleOpened, what string) OrderID {
	sum := sha256.Sum256([]byte(s.GetId()))
	return OrderID(strings.TrimRight(Cut(s.GetName(), keptOfName), "-") + "~" + hex.EncodeToString(sum[:4]) + "~" + what)
}
