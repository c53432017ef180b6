-- Jobs in the inbox, as applications put them there.
SELECT i.job, i.queue, i.options, i.content_type, i.payload, i.idempotency_key, i.digest FROM inbox i WHERE i.job = ANY($1::bigint[]) ORDER BY i.job
