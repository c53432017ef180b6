SELECT id, at, action, queue, target, note, outcome, done, refused, who, address, door, run FROM audit WHERE id BETWEEN $1 AND $2
  AND ($4::text = '' OR who = $4::text OR address = $4::text)
  AND ($5::text = '' OR action = $5::text OR substr(action, 1, length($5::text) + 1) = $5::text || '.')
  AND ($6::text = '' OR queue = $6::text) AND ($7::text = '' OR target = $7::text)
  AND ($8::text = '' OR (target = $8::text AND substr(action, 1, 4) = 'job.'))
  AND ($9::text = '' OR outcome = $9::text OR ($9::text = 'refused' AND refused > 0))
  AND ($10::text = '' OR strpos(action || ' ' || target || ' ' || note || ' ' || queue || ' ' || who || ' ' || address || ' ' || outcome, $10::text) > 0)
  AND at >= $11::bigint AND at < $12::bigint
ORDER BY id DESC LIMIT $3
