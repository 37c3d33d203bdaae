-- The connection log, version 1. Times are nanoseconds since 1970-01-01T00:00:00Z.

-- Who connects, once for all connections of like processes.
CREATE TABLE identity (
    id      INTEGER PRIMARY KEY,
    last    INTEGER NOT NULL,           -- highest connection that names it: below the lowest there is, it can go
    digest  BLOB NOT NULL UNIQUE,       -- SHA-256 of body
    body    TEXT NOT NULL,              -- JSON
    path    TEXT AS (body ->> '$.path') VIRTUAL,
    user_id TEXT AS (body ->> '$.user.id') VIRTUAL,
    user    TEXT AS (body ->> '$.user.name') VIRTUAL
) STRICT;

-- Why, once for all decisions for the same reason.
CREATE TABLE reason (
    id      INTEGER PRIMARY KEY,
    last    INTEGER NOT NULL,
    body    TEXT NOT NULL UNIQUE,       -- JSON: reason, asked_by
    layer   TEXT AS (body ->> '$.reason.rule.layer') VIRTUAL,
    rule    TEXT AS (body ->> '$.reason.rule.id') VIRTUAL
) STRICT;

-- Rulesets that were in force.
CREATE TABLE revision (
    id      INTEGER PRIMARY KEY,
    last    INTEGER NOT NULL,
    name    TEXT NOT NULL UNIQUE,
    since   INTEGER NOT NULL,           -- when it was first in force
    kept    INTEGER NOT NULL            -- 1: its files are here
) STRICT;

-- Their files. Contents are shared: a new rule does not copy the sets.
CREATE TABLE revision_file (
    revision INTEGER NOT NULL,
    path     TEXT NOT NULL,
    source   INTEGER NOT NULL,
    PRIMARY KEY (revision, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE source (
    id      INTEGER PRIMARY KEY,
    digest  BLOB NOT NULL UNIQUE,       -- SHA-256 of text
    text    TEXT NOT NULL
) STRICT;

-- Decisions.
CREATE TABLE connection (
    id             INTEGER PRIMARY KEY, -- grows with every decision
    time           INTEGER NOT NULL,
    permit         INTEGER NOT NULL,    -- 1: permit, 0: block
    inbound        INTEGER NOT NULL,
    in_force       INTEGER NOT NULL,
    protocol       INTEGER NOT NULL,
    local_address  BLOB NOT NULL,       -- 4 bytes, 16, or 20 with the scope id
    local_port     INTEGER NOT NULL,
    remote_address BLOB NOT NULL,
    remote_port    INTEGER NOT NULL,
    pid            INTEGER NOT NULL,
    start_key      INTEGER NOT NULL,
    held_ms        INTEGER NOT NULL,
    identity       INTEGER NOT NULL,
    reason         INTEGER NOT NULL,
    revision       INTEGER NOT NULL,
    confidence     INTEGER,             -- in the name: 0 ambiguous, 1 other process, 2 own process
    name           TEXT,
    interface      TEXT
) STRICT;

-- For --since and --until, and for what becomes too old.
CREATE INDEX connection_time ON connection (time);

-- One row.
CREATE TABLE total (entries INTEGER NOT NULL) STRICT;
INSERT INTO total VALUES (0);
