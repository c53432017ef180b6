SELECT id, name, queues, state, registered_at, types, host, pid, version FROM worker
WHERE (registered_at, id) > ($1::bigint, $2::text) ORDER BY registered_at, id LIMIT $3::bigint
