-- The columns of other tables for a job with unreadable extras: its unique key, its group, its only worker, its batch.
SELECT (SELECT key FROM unique_key WHERE queue = ?1 AND job = ?2),
       coalesce((SELECT group_key FROM group_place WHERE queue = ?1 AND job = ?2), (SELECT group_key FROM held WHERE queue = ?1 AND job = ?2)),
       (SELECT worker FROM ready_for WHERE queue = ?1 AND job = ?2),
       (SELECT job_batch FROM job_batch_member WHERE job = ?2)
