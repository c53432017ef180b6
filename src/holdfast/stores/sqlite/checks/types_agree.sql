-- Ready jobs whose type in the order is not their own: of a queue that is kept by type, as far as that is done; in others they have none there.
SELECT 'job', s.job, 'of queue', q.name, 'is of type', j.type, 'and is found by', s.type
FROM ready s JOIN queue q ON q.id = s.queue JOIN job j ON j.id = s.job
WHERE (q.typed IS NOT NULL OR s.type IS NOT NULL) AND CASE
  WHEN q.typed IS NULL OR s.type IS NOT NULL THEN q.typed IS NULL OR s.type <> j.type
  ELSE CASE WHEN json_valid(q.typed) THEN q.typed ->> '$.upto' IS NULL OR (s.priority, s.job) <= (q.typed ->> '$.upto[0]', q.typed ->> '$.upto[1]') END
END LIMIT 20
