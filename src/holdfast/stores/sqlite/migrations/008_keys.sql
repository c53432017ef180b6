-- Access keys. Of a secret only its hash is here. Counter `keys` grows with every change that a front has to know of.

CREATE TABLE access_key(
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  value TEXT NOT NULL,                      -- JSON: the key by the names of auth/keys.py, without what stands beside it
  used_at INTEGER                           -- when it was last used, to the minute
) STRICT, WITHOUT ROWID;
INSERT INTO counter(name, value) VALUES ('keys', 0);
