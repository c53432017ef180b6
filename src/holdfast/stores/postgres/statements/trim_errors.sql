DELETE FROM job_error e WHERE e.job = ANY($1::bigint[]) AND e.attempt NOT IN
  (SELECT n.attempt FROM job_error n WHERE n.job = e.job ORDER BY n.attempt DESC LIMIT $2)
