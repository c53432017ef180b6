-- Jobs with an impossible size, which a tally leaves out.
SELECT 'job', id, 'has', size, 'bytes' FROM job WHERE size NOT BETWEEN 0 AND 9007199254740991 LIMIT 20
