-- What a release with version 1 of the schema left. Never edited.
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE identity (
    id      INTEGER PRIMARY KEY,
    last    INTEGER NOT NULL,
    digest  BLOB NOT NULL UNIQUE,
    body    TEXT NOT NULL,
    path    TEXT AS (body ->> '$.path') VIRTUAL,
    user_id TEXT AS (body ->> '$.user.id') VIRTUAL,
    user    TEXT AS (body ->> '$.user.name') VIRTUAL
) STRICT;
CREATE TABLE reason (
    id      INTEGER PRIMARY KEY,
    last    INTEGER NOT NULL,
    body    TEXT NOT NULL UNIQUE,
    layer   TEXT AS (body ->> '$.reason.rule.layer') VIRTUAL,
    rule    TEXT AS (body ->> '$.reason.rule.id') VIRTUAL
) STRICT;
CREATE TABLE revision (
    id      INTEGER PRIMARY KEY,
    last    INTEGER NOT NULL,
    name    TEXT NOT NULL UNIQUE,
    since   INTEGER NOT NULL,
    kept    INTEGER NOT NULL
) STRICT;
CREATE TABLE revision_file (
    revision INTEGER NOT NULL,
    path     TEXT NOT NULL,
    source   INTEGER NOT NULL,
    PRIMARY KEY (revision, path)
) STRICT, WITHOUT ROWID;
CREATE TABLE source (
    id      INTEGER PRIMARY KEY,
    digest  BLOB NOT NULL UNIQUE,
    text    TEXT NOT NULL
) STRICT;
CREATE TABLE connection (
    id             INTEGER PRIMARY KEY,
    time           INTEGER NOT NULL,
    permit         INTEGER NOT NULL,
    inbound        INTEGER NOT NULL,
    in_force       INTEGER NOT NULL,
    protocol       INTEGER NOT NULL,
    local_address  BLOB NOT NULL,
    local_port     INTEGER NOT NULL,
    remote_address BLOB NOT NULL,
    remote_port    INTEGER NOT NULL,
    pid            INTEGER NOT NULL,
    start_key      INTEGER NOT NULL,
    held_ms        INTEGER NOT NULL,
    identity       INTEGER NOT NULL,
    reason         INTEGER NOT NULL,
    revision       INTEGER NOT NULL,
    confidence     INTEGER,
    name           TEXT,
    interface      TEXT
) STRICT;
CREATE INDEX connection_time ON connection (time);
CREATE TABLE total (entries INTEGER NOT NULL) STRICT;
INSERT INTO total VALUES (0);
PRAGMA application_id = 1416390516;
PRAGMA user_version = 1;
UPDATE total SET entries = 2;
INSERT INTO identity (id, last, digest, body) VALUES
    (1, 1795435200000000, x'0c8cdea4bfa9ccac1b3474b7de59dba374a65b941bcb74dcac61a8386888ceb5',
    '{"path":"C:\\Tools\\node.exe","sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","publisher":"OpenJS Foundation","parent":{"path":"C:\\Windows\\explorer.exe"},"user":{"id":"S-1-5-21-1-2-3-1001","name":"DESK\\ada"},"command_line":"node server.js"}'),
    (2, 1795435200000001, x'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', '{}');
INSERT INTO reason (id, last, body) VALUES
    (1, 1795435200000000, '{"reason":{"by":"rule","rule":{"layer":"user","id":"node"}}}'),
    (2, 1795435200000001, '{"reason":{"by":"default","why":"timed_out"},"asked_by":{"layer":"default","id":"ask-all"}}');
INSERT INTO revision (id, last, name, since, kept) VALUES
    (1, 1795435200000000, '0123456789ab', 1795435200000000000, 1),
    (2, 1795435200000001, 'fedcba987654', 1795435200000000000, 0);
INSERT INTO source (id, digest, text) VALUES (1, x'1a3bf6356f72ac0df0b0a0dc08b7c1273b3e7798aa8a1dfc3ea46e8c921aaaf2', '[rule.node]
');
INSERT INTO revision_file (revision, path, source) VALUES (1, 'user/node.toml', 1);
INSERT INTO connection (id, time, permit, inbound, in_force, protocol, local_address, local_port, remote_address,
    remote_port, pid, start_key, held_ms, identity, reason, revision, confidence, name, interface) VALUES
    (1795435200000000, 1795435200250000000, 1, 0, 1, 6, x'c0000207', 50000, x'c6336404', 443, 4242, -1, 1203, 1, 1, 1,
    2, 'example.com', 'Ethernet'),
    (1795435200000001, 1795435201000000000, 0, 1, 0, 17, x'fe80000000000000000000000000000100000003', 5353, x'20010db8000000000000000000000009', 5353, 0, 0, 0, 2, 2,
    2, NULL, NULL, NULL);
COMMIT;
