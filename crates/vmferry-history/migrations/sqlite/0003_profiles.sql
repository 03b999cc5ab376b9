-- What was measured of hosts rather than of moves, one row a measurement or a
-- result fitted to measurements: rows are added, never changed. Whose hosts
-- it is about is NULL where it holds for any.
CREATE TABLE profiles (
    id INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    source_host TEXT,
    destination_host TEXT,
    made_at_ms INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    tool_version TEXT NOT NULL,
    document TEXT NOT NULL
) STRICT;

CREATE INDEX profiles_by_kind ON profiles (kind, source_host, destination_host, made_at_ms);
