-- Migrations that other people made, as their CSV told them. What it did not
-- say is NULL. Ordered by id they are in the order of their files.
CREATE TABLE imported (
    id INTEGER NOT NULL PRIMARY KEY,
    -- Hash of what the migration says: the same row is there once, whatever its source.
    fingerprint TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    imported_at_ms INTEGER NOT NULL,
    run TEXT,
    guest TEXT,
    workload TEXT,
    -- RFC 3339: other people's clocks may tell more than milliseconds.
    started_at TEXT,
    technique TEXT NOT NULL,
    memory_bytes INTEGER NOT NULL,
    dirty_rate_bytes_per_s REAL NOT NULL,
    bandwidth_bytes_per_s REAL NOT NULL,
    downtime_limit_ms REAL,
    converged INTEGER CHECK (converged IN (0, 1)),
    total_time_ms REAL NOT NULL,
    downtime_ms REAL,
    transferred_bytes INTEGER
) STRICT;

CREATE INDEX imported_by_source ON imported (source, id);

-- What was seen of the guest before a move: a JSON document, zstd-compressed.
CREATE TABLE observations (
    move_id TEXT NOT NULL PRIMARY KEY REFERENCES moves (id) ON DELETE CASCADE,
    schema_version INTEGER NOT NULL,
    observation BLOB NOT NULL
) STRICT;
