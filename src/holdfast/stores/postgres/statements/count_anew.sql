-- One queue's tally, from its rows.
SELECT
  (SELECT count(*) FROM scheduled s WHERE s.queue = $1),
  (SELECT count(*) FROM ready s WHERE s.queue = $1) + (SELECT count(*) FROM held s WHERE s.queue = $1)
    + (SELECT count(*) FROM ready_for s WHERE s.queue = $1) + (SELECT count(*) FROM waiting s WHERE s.queue = $1),
  (SELECT count(*) FROM leased s WHERE s.queue = $1),
  (SELECT count(*) FROM ended s WHERE s.queue = $1 AND s.state = 'concluded'),
  (SELECT count(*) FROM ended s WHERE s.queue = $1 AND s.state = 'dead'),
  (SELECT count(*) FROM ended s WHERE s.queue = $1 AND s.state = 'cancelled'),
  (SELECT coalesce(sum(j.size), 0)::bigint FROM (
     SELECT job FROM scheduled WHERE queue = $1 UNION ALL SELECT job FROM ready WHERE queue = $1
     UNION ALL SELECT job FROM held WHERE queue = $1 UNION ALL SELECT job FROM ready_for WHERE queue = $1
     UNION ALL SELECT job FROM waiting WHERE queue = $1
     UNION ALL SELECT job FROM leased WHERE queue = $1
   ) w JOIN job j ON j.id = w.job WHERE j.size BETWEEN 0 AND 9007199254740991),
  (SELECT coalesce(sum(j.size + coalesce(octet_length(s.result), 0)), 0)::bigint FROM ended s JOIN job j ON j.id = s.job
   WHERE s.queue = $1 AND s.state IN ('concluded', 'cancelled') AND j.size BETWEEN 0 AND 9007199254740991)
