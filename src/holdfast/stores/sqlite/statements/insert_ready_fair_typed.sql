-- The same in a queue that is kept by type; that of a job whose content is not at hand is looked up.
INSERT INTO ready(queue, priority, job, ready_at, attempt, failures, crashes, fair, type)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, coalesce(?9, (SELECT j.type FROM job j WHERE j.id = ?3), ''))
