-- What a shard of the journal is. Handles are UUIDs of version 7, so they rise with time, and what is written appends.

-- One row: which journal this is a shard of, and what belongs to the whole shard.
CREATE TABLE meta (
    one           boolean PRIMARY KEY DEFAULT true CHECK (one),
    journal       uuid    NOT NULL,
    shard         int     NOT NULL,
    shards        int     NOT NULL,
    whole         boolean NOT NULL DEFAULT false, -- all shards were made: one that is empty has lost what it had
    generation    bigint  NOT NULL DEFAULT 0,
    feature_level int     NOT NULL,
    catalog       bigint  NOT NULL DEFAULT 1
);

-- A row for each lane of each incarnation, and one with lane -1 for the incarnation itself. A batch updates the row of its lane:
-- batch is the number of the last one. Whoever fences an incarnation updates its rows, and so waits for batches under way.
CREATE TABLE lanes (
    incarnation text     COLLATE "C" NOT NULL,
    lane        smallint NOT NULL,
    batch       bigint   NOT NULL DEFAULT 0,
    fenced      boolean  NOT NULL DEFAULT false,
    PRIMARY KEY (incarnation, lane)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

CREATE TABLE partitions (
    partition smallint PRIMARY KEY,
    epoch     bigint   NOT NULL DEFAULT 0,
    owner     text     COLLATE "C" -- an incarnation; null: nobody
);

-- Positions in the queues of order keys. A batch draws one number, and counts up below it.
CREATE SEQUENCE positions;

-- An order's row, its open row, and what they are found by: one row, from its acceptance on. Names, keys and labels are found by
-- hashes of 128 bits, so that they may be as long as they like.
CREATE TABLE orders (
    handle       uuid     PRIMARY KEY,
    id           bytea    NOT NULL UNIQUE,
    partition    smallint NOT NULL,
    content_hash bytea    NOT NULL,
    row          bytea,              -- null: the order lives in another shard, and this is its entry in the directory
    open         bytea,              -- null: it has none
    intake       boolean  NOT NULL,  -- it was accepted without an epoch, and the owner has not committed anything of it
    name         uuid,               -- that of its definition; null: it is no order
    key          uuid,               -- its order key; null: it has none
    ended_badly  smallint,           -- its status, if it ended badly; null: it did not
    in_doubt     boolean  NOT NULL,
    due          bigint,             -- null: it has none
    queue        uuid,               -- the key that it waits for; null: it waits for none
    position     bigint              -- in the queue
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

CREATE INDEX orders_name ON orders (name, handle) WHERE name IS NOT NULL;
CREATE INDEX orders_key ON orders (key, handle) WHERE key IS NOT NULL;
CREATE INDEX orders_ended_badly ON orders (ended_badly, handle) WHERE ended_badly IS NOT NULL;
CREATE INDEX orders_open ON orders (partition, handle) WHERE open IS NOT NULL;
CREATE INDEX orders_due ON orders (partition, due, handle) WHERE due IS NOT NULL;
CREATE INDEX orders_queue ON orders (partition, queue, position) WHERE queue IS NOT NULL;
CREATE INDEX orders_intake ON orders (partition, handle) WHERE intake;

CREATE TABLE labels (
    label  uuid NOT NULL, -- hash of name and value
    handle uuid NOT NULL,
    PRIMARY KEY (label, handle)
);

-- Tasks in overflow, and by what they are found. They come and go with the open rows of their orders.
CREATE TABLE overflow (
    activity  uuid     NOT NULL, -- hash of its name
    priority  smallint NOT NULL,
    partition smallint NOT NULL,
    at        bigint   NOT NULL,
    frame     bigint   NOT NULL,
    handle    uuid     NOT NULL,
    bytes     bigint   NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);

CREATE INDEX overflow_place ON overflow (activity, priority, partition, at, frame, handle);
CREATE INDEX overflow_handle ON overflow (handle);

-- By how much the numbers of orders that have faulted, and that are in doubt, have changed. Their sums are the numbers.
CREATE TABLE fallout (
    faulted  bigint NOT NULL,
    in_doubt bigint NOT NULL
);

-- Histories, in tables by the month of acceptance. They are made ahead; what has none is in the last one.
CREATE TABLE events (
    handle    uuid     NOT NULL,
    first     bigint   NOT NULL, -- the version of the record's first event
    events    int      NOT NULL, -- how many it has
    record    bytea    NOT NULL,
    PRIMARY KEY (handle, first)
) PARTITION BY RANGE (handle);

CREATE TABLE events_other PARTITION OF events DEFAULT;

-- The catalogue, in the first shard.
CREATE TABLE definitions (
    namespace bytea NOT NULL,
    name      bytea NOT NULL,
    version   bytea NOT NULL,
    row       bytea NOT NULL,
    PRIMARY KEY (namespace, name, version)
);

CREATE TABLE limits (
    activity bytea PRIMARY KEY,
    row      bytea NOT NULL
);
