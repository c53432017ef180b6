-- The same in a queue that is kept by type; that of a job whose content is not at hand is looked up.
INSERT INTO ready(queue, priority, job, ready_at, attempt, failures, crashes, type)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, coalesce(?8, (SELECT j.type FROM job j WHERE j.id = ?3), ''))
