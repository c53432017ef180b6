SELECT job, result, followers FROM ended WHERE job = ANY($1::bigint[])
