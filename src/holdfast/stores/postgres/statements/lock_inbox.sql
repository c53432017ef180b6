-- Of these jobs those that are in the inbox, locked until the commit, and whether there is no job of this id yet. One that another node takes in just
-- now is left to it.
SELECT i.job, NOT EXISTS (SELECT FROM job j WHERE j.id = i.job)
FROM inbox i WHERE i.job = ANY($1::bigint[]) ORDER BY i.job FOR UPDATE SKIP LOCKED
