-- The highest numbers that rows have, for counters that are missing, behind or beyond their bounds.
SELECT coalesce((SELECT max(id) FROM job WHERE id < 9007199254740991), 0),
       coalesce((SELECT max(fence) FROM leased WHERE fence < 9007199254740991), 0)
