-- Jobs without a row in the table of a state, or with rows in several.
SELECT 'job', j.id, 'is in', s.states, 'states'
FROM job j LEFT JOIN (
  SELECT job, count(*) AS states FROM (
    SELECT job FROM ready UNION ALL SELECT job FROM held UNION ALL SELECT job FROM leased
    UNION ALL SELECT job FROM ready_for UNION ALL SELECT job FROM waiting UNION ALL SELECT job FROM scheduled UNION ALL SELECT job FROM ended
  ) GROUP BY job
) s ON s.job = j.id
WHERE s.states IS NOT 1 LIMIT 20
