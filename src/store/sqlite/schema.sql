-- The embedded store, format 1. A record's number `n` is its name within this file; ids are text as everywhere.

-- format, partitions, and the store's identity; the last fence; what a ping counts up to see whether writing works. Of a
-- store that was restored or copied: `half_made` until it is whole, then `filled`, and `sending_held` until all in `unseen`
-- was looked up.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE record (
    n        INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    body     BLOB NOT NULL
);

-- The due-index: a row for each record that is not at rest. Times of `at` are the business clock's, those of
-- `leased_until` the store's, both in ms. They stand beside the records so that a lease rewrites no body.
CREATE TABLE due (
    record       INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    leased_until INTEGER,
    fence        INTEGER NOT NULL DEFAULT 0,
    -- When something happened to it that nobody who looks was told of yet: `at` is never later, and only handing the
    -- record to such a one clears it.
    news         INTEGER,
    -- A time that was set while somebody else held the lease: it outlives what the holder says, and ends with his lease.
    beside       INTEGER
);
-- Two indexes that share out the rows, so that nobody who looks for work reads past what others hold.
CREATE INDEX due_free ON due (at) WHERE leased_until IS NULL;
CREATE INDEX due_leased ON due (leased_until) WHERE leased_until IS NOT NULL;

CREATE TABLE claim (
    "partition" INTEGER NOT NULL,
    scope       TEXT NOT NULL,
    record      TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    -- How it ended; NULL while its record is not at rest for it.
    outcome     BLOB,
    -- When it may be forgotten, in ms of the store's clock; NULL: not yet, or never.
    over        INTEGER,
    PRIMARY KEY ("partition", scope)
) WITHOUT ROWID;
CREATE INDEX claim_over ON claim (over) WHERE over IS NOT NULL;

CREATE TABLE reference (
    "partition" INTEGER NOT NULL,
    account     TEXT NOT NULL,
    sort        TEXT NOT NULL,
    value       TEXT NOT NULL,
    record      INTEGER NOT NULL,
    PRIMARY KEY ("partition", account, sort, value)
) WITHOUT ROWID;
CREATE INDEX reference_of ON reference (record);

-- A list that has entries, and how many: counting them each time would make a guard cost more as its list grows.
CREATE TABLE list (
    n           INTEGER PRIMARY KEY,
    "partition" INTEGER NOT NULL,
    account     TEXT NOT NULL,
    key         TEXT NOT NULL,
    entries     INTEGER NOT NULL,
    UNIQUE ("partition", account, key)
);
CREATE TABLE entry (
    list   INTEGER NOT NULL,
    id     TEXT NOT NULL,
    record INTEGER NOT NULL,
    PRIMARY KEY (list, id)
) WITHOUT ROWID;
CREATE INDEX entry_of ON entry (record);

-- The newest entry that each partition's log ever had: the sequence goes on from here when all were trimmed.
CREATE TABLE head (
    "partition" INTEGER PRIMARY KEY,
    ms          INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    -- The time of the newest entry that trimming removed.
    trimmed_ms  INTEGER NOT NULL
);
-- `at` is the partition (above 48 bits) and the sequence number: one key in the order in which the log is read.
CREATE TABLE event (
    at   INTEGER PRIMARY KEY,
    ms   INTEGER NOT NULL,
    id   TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL
);

-- Commits of late and what they were answered, so that one sent twice is applied once: a row for each transaction. Nothing
-- that stands here is needed longer than the process lives that wrote it.
CREATE TABLE done_together (
    n       INTEGER PRIMARY KEY,
    ms      INTEGER NOT NULL,
    commits BLOB NOT NULL
);

-- Records that were not at rest when the store was restored or copied, and were not looked up since.
CREATE TABLE unseen (
    "partition" INTEGER NOT NULL,
    id          TEXT NOT NULL,
    PRIMARY KEY ("partition", id)
) WITHOUT ROWID;
