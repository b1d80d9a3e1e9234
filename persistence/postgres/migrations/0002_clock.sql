-- By how many nanoseconds the clock of this shard is ahead of that of the first one, at the most; null: nobody has compared them yet.
ALTER TABLE meta ADD COLUMN clock_ahead bigint;
