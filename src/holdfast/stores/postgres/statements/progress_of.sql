SELECT job, value FROM progress WHERE job = ANY($1::bigint[])
