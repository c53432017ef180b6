-- Progress and errors of jobs that do not exist.
SELECT s.kind, 'of job', s.job, 'has no row in job' FROM (
  SELECT 'progress' AS kind, job FROM progress UNION ALL SELECT DISTINCT 'an error', job FROM job_error
) s WHERE NOT EXISTS (SELECT 1 FROM job j WHERE j.id = s.job) LIMIT 20
