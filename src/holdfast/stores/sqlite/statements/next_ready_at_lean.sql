-- The ready jobs of one queue at these places, a JSON list of [priority, job], with their contents, and only the columns in which such jobs differ.
SELECT j.id, s.priority, s.attempt, s.failures, s.crashes, j.max_attempts, j.size, j.created_at, s.ready_at, j.extras,
       j.type, j.content_type, j.payload
FROM json_each(?2) p CROSS JOIN ready s ON s.queue = ?1 AND s.priority = p.value ->> 0 AND s.job = p.value ->> 1 CROSS JOIN job j ON j.id = s.job LIMIT ?3
