package adapters

import (
	"fmt"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/adapters/ledger/disk"
)

// maxStarted is how many keys may have been started by dead processes and never been asked for since.
const maxStarted = 100_000

// remember reads what the processes before this one knew, if the ledger has a folder.
func (h *hub) remember() error {
	if h.config.LedgerDir == "" {
		return nil
	}
	now := h.now()
	log, err := disk.Open(h.config.LedgerDir, h.name, func(r ledger.Record) { h.ledger.Replay(r, now) })
	if err != nil {
		return err
	}
	if n := h.ledger.Started(); n > maxStarted {
		_ = log.Close() // the error that led here counts
		return fmt.Errorf("the ledger's folder %s holds %d keys that were begun and never asked for again, more than %d: "+
			"move it away, and start with a new one", h.config.LedgerDir, n, maxStarted)
	}
	h.ledger.Replayed(now)
	h.disk, h.memory, h.lost = log, log.ID(), log.Failed()
	h.config.Log.Info("ledger opened", "folder", h.config.LedgerDir, "ledger", h.memory, "begun", h.ledger.Started(),
		"unacknowledged", h.ledger.Held(), "kept", h.ledger.Settled())
	return nil
}

// forget closes the ledger's folder.
func (h *hub) forget() error {
	if h.disk == nil {
		return nil
	}
	return h.disk.Close()
}
