-- Of these jobs those that are in the inbox, locked until the commit, and whether there is no job of this id yet. One that another node takes in just
-- now is left to it.
-- Not EXISTS, for which all jobs would be read where PostgreSQL believes that there are few.
SELECT i.job, (SELECT j.id FROM job j WHERE j.id = i.job) IS NULL
FROM inbox i WHERE i.job = ANY($1::bigint[]) ORDER BY i.job FOR UPDATE SKIP LOCKED
