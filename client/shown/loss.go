package shown

import "github.com/holdfast-run/holdfast/messages/adminv1"

// JournalServer is a server that a connection string of the journal names, and what it lacks.
type JournalServer struct {
	Shard        uint32        `json:"shard"`
	Address      string        `json:"address"`
	Unreachable  string        `json:"unreachable"`
	Standby      bool          `json:"standby"`
	Timeline     int64         `json:"timeline"`
	Generation   uint64        `json:"generation"`
	Journal      string        `json:"journal"`
	Lost         []LostBatches `json:"lost"`
	Confirm      string        `json:"confirm"`
	Unacceptable string        `json:"unacceptable"`
	Unreadable   []string      `json:"unreadable"`
}

// LostBatches are the last batches of a lane, which a server lacks.
type LostBatches struct {
	Incarnation string `json:"incarnation"`
	Lane        int32  `json:"lane"`
	Generation  uint64 `json:"generation"`
	Confirmed   int64  `json:"confirmed"`
	Has         int64  `json:"has"`
}

// JournalServerOf makes the form of a server.
func JournalServerOf(s *adminv1.JournalServer) JournalServer {
	x := JournalServer{
		Shard: s.GetShard(), Address: s.GetAddress(), Unreachable: s.GetUnreachable(), Standby: s.GetStandby(), Timeline: s.GetTimeline(),
		Generation: s.GetGeneration(), Journal: s.GetJournal(), Lost: []LostBatches{}, Confirm: s.GetConfirm(), Unacceptable: s.GetUnacceptable(),
		Unreadable: append([]string{}, s.GetUnreadable()...),
	}
	for _, b := range s.GetLost() {
		x.Lost = append(x.Lost, LostBatches{
			Incarnation: b.GetIncarnation(), Lane: b.GetLane(), Generation: b.GetGeneration(), Confirmed: b.GetConfirmed(), Has: b.GetHas(),
		})
	}
	return x
}

// AcceptedLoss is what came of accepting a loss.
type AcceptedLoss struct {
	Generation uint64 `json:"generation"`
}
