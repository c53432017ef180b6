-- The same of the types $6.
SELECT l.priority, l.fair, r.job FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::int[]) l(priority, fair, first, most)
CROSS JOIN LATERAL (SELECT o.job FROM unnest($6::text[]) t(type)
  CROSS JOIN LATERAL (SELECT k.job FROM ready k WHERE k.queue = $1 AND k.type = t.type AND k.priority = l.priority AND k.fair = l.fair AND k.job >= l.first
                      AND k.fair IS NOT NULL AND k.type IS NOT NULL ORDER BY k.job LIMIT l.most) o
  ORDER BY o.job LIMIT l.most) r
