"""The side of the store (in the keeper; on PostgreSQL in each node): group commit, one file for each family of verbs, ticks, statistics."""
