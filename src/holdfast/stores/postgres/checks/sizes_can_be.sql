-- Jobs whose size can't be one; a tally leaves it out.
SELECT 'job', id, 'has', size, 'bytes' FROM job WHERE size NOT BETWEEN 0 AND 9007199254740991 LIMIT 20
