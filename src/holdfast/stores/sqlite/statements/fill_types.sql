-- Give the ready jobs of one queue their types, behind one place up to another.
UPDATE ready SET type = coalesce((SELECT j.type FROM job j WHERE j.id = ready.job), '')
WHERE queue = ?1 AND (priority, job) > (?2, ?3) AND (priority, job) <= (?4, ?5) AND type IS NULL
