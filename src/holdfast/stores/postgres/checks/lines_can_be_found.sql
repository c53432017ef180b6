-- Ready jobs of a queue that keeps account of where its lines begin, of which priority it keeps none: they would not be found. The account itself is
-- msgpack, so that only the plain case is seen here: an empty one beside ready jobs.
SELECT 'queue', q.name, 'has ready jobs that it keeps no account of' FROM queue q
WHERE q.lows = '\x80' AND EXISTS (SELECT FROM ready r WHERE r.queue = q.id) LIMIT 20
