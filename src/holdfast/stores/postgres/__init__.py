"""The PostgreSQL store: many nodes over one database, and an answer only after K standbys are proven to have it."""
