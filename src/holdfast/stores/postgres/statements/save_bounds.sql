-- The current bounds, for `holdfast.enqueue`; written only if they have changed, without a wait for standbys.
INSERT INTO enqueue_bounds AS b(queue_name, queue_name_chars, queues, payload_bytes, json_depth, type_chars, content_type_chars, key_chars,
  request_id_chars, tags, tag_chars, priority, priority_max, delay_ms_max, attempts_max, lease_ms_max, group_limit_max,
  capacity_jobs, capacity_bytes, max_attempts, hold_ms, ready_floors,
  options_bytes, inbox_rows, inbox_bytes)
SELECT $1::text, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::bigint, $7::bigint, $8::bigint, $9::bigint, $10::bigint, $11::bigint, $12::bigint,
  $13::bigint, $14::bigint, $15::bigint, $16::bigint, $17::bigint, $18::bigint, $19::bigint, $20::bigint, $21::bigint, $22::bigint,
  $23::bigint, $24::bigint, $25::bigint
WHERE set_config('synchronous_commit', 'off', true) = 'off'
ON CONFLICT (only_row) DO UPDATE SET (queue_name, queue_name_chars, queues, payload_bytes, json_depth, type_chars, content_type_chars, key_chars,
  request_id_chars, tags, tag_chars, priority, priority_max, delay_ms_max, attempts_max, lease_ms_max, group_limit_max,
  capacity_jobs, capacity_bytes, max_attempts, hold_ms, ready_floors, options_bytes, inbox_rows, inbox_bytes) = ROW(excluded.queue_name,
   excluded.queue_name_chars, excluded.queues,
  excluded.payload_bytes, excluded.json_depth, excluded.type_chars, excluded.content_type_chars, excluded.key_chars, excluded.request_id_chars,
  excluded.tags, excluded.tag_chars, excluded.priority, excluded.priority_max, excluded.delay_ms_max, excluded.attempts_max, excluded.lease_ms_max,
  excluded.group_limit_max, excluded.capacity_jobs, excluded.capacity_bytes, excluded.max_attempts, excluded.hold_ms, excluded.ready_floors,
  excluded.options_bytes, excluded.inbox_rows, excluded.inbox_bytes)
WHERE to_jsonb(b) - 'options' IS DISTINCT FROM to_jsonb(excluded) - 'options'
