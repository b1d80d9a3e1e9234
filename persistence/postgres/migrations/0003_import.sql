-- There is a row if the journal was made by an import of another one. As long as that is not complete, no node uses the database.
CREATE TABLE import (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    source   uuid    NOT NULL, -- the identity of the other journal
    digest   text    NOT NULL, -- what it held
    orders   uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000', -- the last one that is here
    handle   uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000', -- the order of the last record that is here
    first    bigint  NOT NULL DEFAULT 0,                                      -- the version of its first event
    complete boolean NOT NULL DEFAULT false
);
