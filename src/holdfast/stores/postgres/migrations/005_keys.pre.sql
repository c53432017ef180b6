-- Access keys. Of a secret only its hash is here. Counter `keys` grows with every change that a node has to know of.

CREATE TABLE access_key(
  id text COLLATE "C" PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  value text NOT NULL,                      -- JSON: the key by the names of auth/keys.py, without what stands beside it
  used_at bigint                            -- when it was last used, to the minute
);
INSERT INTO counter(name, value) VALUES ('keys', 0) ON CONFLICT DO NOTHING;
