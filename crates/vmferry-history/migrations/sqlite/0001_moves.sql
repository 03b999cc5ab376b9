-- One row a move. The record is frozen before the move and never rewritten;
-- the outcome is added once. The other columns repeat what lists and filters
-- need from the two documents.
CREATE TABLE moves (
    id TEXT NOT NULL PRIMARY KEY,
    started_at_ms INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    tool_version TEXT NOT NULL,
    guest_uri TEXT NOT NULL,
    guest_name TEXT,
    guest_uuid TEXT,
    source_host TEXT NOT NULL,
    destination_host TEXT NOT NULL,
    route TEXT NOT NULL,
    source_version TEXT,
    destination_version TEXT,
    max_bandwidth_bytes_per_s REAL,
    forecast_converges_probability REAL,
    forecast_total_time_ms REAL,
    forecast_downtime_ms REAL,
    forecast_wire_bytes REAL,
    -- NULL: no end was recorded.
    status TEXT CHECK (status IN ('completed', 'failed', 'cancelled', 'unknown')),
    place TEXT,
    total_time_ms REAL,
    downtime_ms REAL,
    wire_bytes REAL,
    record TEXT NOT NULL,
    outcome TEXT,
    raw_statistics TEXT,
    CHECK ((status IS NULL) = (outcome IS NULL))
) STRICT;

CREATE INDEX moves_by_time ON moves (started_at_ms, id);
CREATE INDEX moves_by_route ON moves (route, started_at_ms);
CREATE INDEX moves_by_guest_uuid ON moves (guest_uuid, started_at_ms);
CREATE INDEX moves_by_guest_name ON moves (guest_name, started_at_ms);
