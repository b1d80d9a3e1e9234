package pebble

// Metrics describes an open journal. Counts are since it was opened.
type Metrics struct {
	// Batches, Commits and Failed count group commits, commits made durable, and commits that failed; RecordBytes are the
	// bytes of their records.
	Batches, Commits, Failed, RecordBytes uint64
	// Fsyncs counts how often the log was made durable; LogBytes are the bytes written to it.
	Fsyncs, LogBytes uint64
	// QueuedCommits and QueuedBytes are waiting or under way.
	QueuedCommits int
	QueuedBytes   int64
	// DiskBytes is what the journal takes on disk; FreeBytes what the disk has left, 0 if that is not known.
	DiskBytes, FreeBytes uint64
	// Full tells whether new orders are refused because of the low-water mark.
	Full bool
	// Flushes and Compactions count tables being written and merged; DebtBytes is what remains to be merged.
	Flushes, Compactions int64
	DebtBytes            uint64
	// ReadAmplification is how many tables a read may have to look into.
	ReadAmplification int
	// CacheHits and CacheMisses count blocks read.
	CacheHits, CacheMisses int64
}

// Metrics describes the journal as it is now; the zero value after Close. It takes some microseconds.
func (j *Journal) Metrics() Metrics {
	if j.gate.enter() != nil {
		return Metrics{}
	}
	defer j.leave()
	engine := j.db.Metrics()
	commits, bytes := j.lane.Depth()
	return Metrics{
		Batches: j.counts.batches.Load(), Commits: j.counts.commits.Load(), Failed: j.counts.failed.Load(),
		RecordBytes: j.counts.bytes.Load(), Fsyncs: j.counts.fsyncs.Load(), LogBytes: engine.WAL.BytesWritten,
		QueuedCommits: commits, QueuedBytes: bytes,
		DiskBytes: engine.DiskSpaceUsage(), FreeBytes: j.counts.free.Load(), Full: j.full.Load(),
		Flushes: engine.Flush.Count, Compactions: engine.Compact.Count, DebtBytes: engine.Compact.EstimatedDebt,
		ReadAmplification: engine.ReadAmp(), CacheHits: engine.BlockCache.Hits, CacheMisses: engine.BlockCache.Misses,
	}
}
