-- What people and programs have done, in chains of entries, each by its SHA-256 and its bytes. It is used in the first shard alone.
CREATE TABLE audit (
    chain    bytea  NOT NULL,
    sequence bigint NOT NULL,
    entry    bytea  NOT NULL,
    PRIMARY KEY (chain, sequence)
);
