-- The highest ids in rows, for counters that are missing, behind or out of bounds.
SELECT coalesce((SELECT max(id) FROM job WHERE id < 9007199254740991), 0),
       coalesce((SELECT max(fence) FROM leased WHERE fence < 9007199254740991), 0)
