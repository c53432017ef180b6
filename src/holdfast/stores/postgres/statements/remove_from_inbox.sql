-- Take these jobs out of the inbox; they are locked.
DELETE FROM inbox i WHERE i.job = ANY($1::bigint[])
