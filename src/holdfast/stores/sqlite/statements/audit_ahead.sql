SELECT id, at, action, queue, target, note, outcome, done, refused, who, address, door, run FROM audit WHERE id BETWEEN ?1 AND ?2
  AND (?4 = '' OR who = ?4 OR address = ?4)
  AND (?5 = '' OR action = ?5 OR substr(action, 1, length(?5) + 1) = ?5 || '.')
  AND (?6 = '' OR queue = ?6) AND (?7 = '' OR target = ?7)
  AND (?8 = '' OR (target = ?8 AND substr(action, 1, 4) = 'job.'))
  AND (?9 = '' OR outcome = ?9 OR (?9 = 'refused' AND refused > 0))
  AND (?10 = '' OR instr(action || ' ' || target || ' ' || note || ' ' || queue || ' ' || who || ' ' || address || ' ' || outcome, ?10) > 0)
  AND at >= ?11 AND at < ?12
ORDER BY id LIMIT ?3
