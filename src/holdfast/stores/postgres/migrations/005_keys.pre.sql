-- Access keys. Of a secret only its hash is stored. The counter `keys` grows with every change that nodes have to load.

CREATE TABLE access_key(
  id text COLLATE "C" PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  value text NOT NULL,                      -- JSON: the fields of `Key` in auth/keys.py that have no column here
  used_at bigint                            -- when it was last used, to the minute
);
INSERT INTO counter(name, value) VALUES ('keys', 0) ON CONFLICT DO NOTHING;
