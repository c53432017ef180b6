-- Access keys. Of a secret only its hash is stored. The counter `keys` grows with every change that fronts have to load.

CREATE TABLE access_key(
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  value TEXT NOT NULL,                      -- JSON: the fields of `Key` in auth/keys.py that have no column here
  used_at INTEGER                           -- when it was last used, to the minute
) STRICT, WITHOUT ROWID;
INSERT INTO counter(name, value) VALUES ('keys', 0);
