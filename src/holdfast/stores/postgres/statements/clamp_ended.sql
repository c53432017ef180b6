-- Times that are too far ahead: one index lookup at the end of each queue's history.
WITH changed AS (
  UPDATE ended SET ended_at = $1::bigint WHERE job IN (
    SELECT e.job FROM queue q CROSS JOIN (VALUES ('concluded'), ('dead'), ('cancelled')) s(state)
    CROSS JOIN LATERAL (
      SELECT job FROM ended WHERE queue = q.id AND ended.state = s.state AND ended_at > $2::bigint LIMIT $3 FOR UPDATE SKIP LOCKED
    ) e
    LIMIT $3
  ) RETURNING 1
) SELECT count(*) FROM changed
