-- One job in whatever state: at most one of the arms has a row.
SELECT * FROM ended_job WHERE id = ?1
UNION ALL
SELECT v.* FROM leased l CROSS JOIN leased_job v ON v.fence = l.fence WHERE l.job = ?1
UNION ALL
SELECT * FROM scheduled_job WHERE id = ?1
UNION ALL
SELECT v.* FROM job k CROSS JOIN ready_job v ON v.queue = k.queue AND v.priority = k.priority AND v.id = k.id WHERE k.id = ?1
UNION ALL
SELECT v.* FROM job k CROSS JOIN held h ON h.queue = k.queue AND h.group_key = json_extract(k.extras, '$[4]') AND h.job = k.id
  CROSS JOIN held_job v ON v.queue = h.queue AND v.id = h.job WHERE k.id = ?1 AND k.extras IS NOT NULL
UNION ALL
SELECT v.* FROM job k CROSS JOIN ready_for f ON f.queue = k.queue AND f.priority = k.priority AND f.job = k.id
  CROSS JOIN ready_for_job v ON v.id = f.job WHERE k.id = ?1 AND k.extras IS NOT NULL
