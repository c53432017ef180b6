-- Deadlines of jobs, and what a failed attempt raised: the class of the error, its message and its traceback.
--
-- Formats by name (stores/formats.py) may have fields from here on that no version before can read: a job's extras `expires_at`, a queue's
-- settings `expires_in_ms`, and the same in a schedule's job. They are refused until no node of the release before can serve any more.
-- locks: job_error

CREATE TABLE job_expiry(                    -- when a waiting job ends; a job that has no deadline, or does not wait, has no row
  job bigint PRIMARY KEY,
  queue int NOT NULL,
  at bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX job_expiry_at ON job_expiry(at, job);

ALTER TABLE job_error
  ADD COLUMN class text,                    -- of the error that the attempt raised; NULL: its worker told none
  ADD COLUMN message text,
  ADD COLUMN traceback text,
  ADD COLUMN place text;                    -- file and function in which it was raised

-- What `holdfast.enqueue` calls takes a deadline, too (016 lets applications give one), writes the type of a job that is ready in a queue which is
-- `typed`, and refuses a queue whose settings have budgets (014) or that is fair (015): only a node decides who is next.

CREATE FUNCTION check_deadline(expires_in_ms bigint, expires_at timestamptz, run_at timestamptz, most bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF expires_in_ms IS NOT NULL AND expires_at IS NOT NULL THEN PERFORM holdfast.breach('expires_at', 'can''t be given beside expires_in_ms'); END IF;
  PERFORM holdfast.check_number('expires_in_ms', expires_in_ms, 1, most);
  IF expires_at > '9999-12-31T23:59:59.999Z' THEN PERFORM holdfast.breach('expires_at', 'must be at most 9999-12-31T23:59:59.999Z'); END IF;
  IF expires_at <= run_at THEN PERFORM holdfast.breach('expires_at', 'must be later than run_at'); END IF;
  IF (SELECT s.min_compatible < 12 FROM holdfast.schema_version s) THEN  -- the number of this step
    PERFORM holdfast.refuse('upgrade_unfinished', 'JQ007', CASE WHEN expires_at IS NULL THEN 'expires_in_ms' ELSE 'expires_at' END,
      'A deadline is not there until the upgrade is finished: nodes of the release before may still serve this database.');
  END IF;
END $$;

CREATE FUNCTION put_job(
  p_queue text, p_payload bytea, p_content_type text, p_type text, p_priority bigint, p_delay_ms bigint, p_run_at timestamptz,
  p_max_attempts bigint, p_lease_ms bigint, p_unique_key text, p_unique_while text, p_group_key text, p_group_limit bigint, p_tags text[],
  p_idempotency_key text, p_expires_in_ms bigint DEFAULT NULL, p_expires_at timestamptz DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = holdfast, pg_temp
  SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  b enqueue_bounds;
  q queue;
  kept kept_answer;
  size bigint := octet_length(p_payload);
  at_most bigint;
  bytes_at_most bigint;
  attempts int;
  moment bigint;
  ready_from bigint;
  expires bigint;
  holder bigint;
  number bigint;
  is_held boolean := false;
  extras text;
  said bytea;
BEGIN
  SELECT * INTO b FROM enqueue_bounds;
  IF b.only_row IS NULL THEN PERFORM refuse('store_unavailable', 'JQ006', NULL, 'No Holdfast node has served this database yet.'); END IF;
  p_type := coalesce(p_type, '');
  p_priority := coalesce(p_priority, b.priority);
  p_tags := coalesce(p_tags, '{}');
  p_group_limit := coalesce(p_group_limit, 1);
  p_unique_while := coalesce(p_unique_while, 'unfinished');
  IF array_ndims(p_tags) > 1 THEN  -- it would be stored as a list of lists, which no node can read
    PERFORM breach('tags', 'must be a list of texts, and not of lists');
  END IF;
  PERFORM check_job(b, p_queue, size, p_type, p_content_type, p_priority, p_max_attempts, p_delay_ms, p_run_at, p_lease_ms,
                    p_unique_key, p_unique_while, p_group_key, p_group_limit, p_tags, p_idempotency_key);
  IF p_expires_in_ms IS NOT NULL OR p_expires_at IS NOT NULL THEN
    PERFORM check_deadline(p_expires_in_ms, p_expires_at, p_run_at, b.delay_ms_max);
  END IF;

  -- From here on the queue is locked, and a session that is idle meanwhile blocks all others that use the queue.
  IF current_setting('idle_in_transaction_session_timeout')::interval NOT BETWEEN '1 ms' AND b.hold_ms * interval '1 ms' THEN
    PERFORM set_config('idle_in_transaction_session_timeout', b.hold_ms || 'ms', true);
  END IF;
  q := hold_queue(p_queue, b.queues);
  IF json_array_length(q.settings::json -> 'budgets') > 0 THEN
    PERFORM breach('queue', 'must have no budgets in its settings: for such a queue, enqueue over HTTP');
  END IF;
  IF q.settings::json ->> 'fair' = 'true' THEN PERFORM breach('queue', 'must not be fair: for such a queue, enqueue over HTTP'); END IF;
  moment := greatest((extract(epoch FROM clock_timestamp()) * 1000)::bigint, q.seen_at);
  PERFORM nextval('enqueued');

  IF p_idempotency_key IS NOT NULL THEN
    said := sha256(convert_to(jsonb_build_array('sql', sha256(p_payload)::text, p_content_type, p_type, p_priority, p_delay_ms, p_run_at,
      p_max_attempts, p_lease_ms, p_unique_key, p_unique_while, p_group_key, p_group_limit, p_tags)::text
      || coalesce(p_expires_in_ms::text, p_expires_at::text, ''), 'UTF8'));
    SELECT * INTO kept FROM kept_answer k WHERE k.scope = p_queue AND k.key = p_idempotency_key;
    IF kept.key IS NOT NULL THEN
      IF kept.digest <> said THEN
        PERFORM refuse('idempotency_mismatch', 'JQ005', 'idempotency_key',
          format('The idempotency key ''%s'' was used with another request.', p_idempotency_key));
      END IF;
      PERFORM pg_logical_emit_message(true, 'holdfast', '');  -- so that this commit waits for the standbys, as the first one did
      RETURN kept.first_job;
    END IF;
  END IF;

  at_most := coalesce((q.settings::json ->> 'capacity_jobs')::bigint, b.capacity_jobs);
  bytes_at_most := coalesce((q.settings::json ->> 'capacity_bytes')::bigint, b.capacity_bytes);
  IF q.scheduled + q.ready + q.leased + 1 > at_most OR (size > 0 AND q.bytes + size > bytes_at_most) THEN
    IF bytes_at_most > 0 AND size > bytes_at_most THEN  -- a capacity of 0 closes a queue, and may be raised
      PERFORM refuse('payload_too_large', 'JQ002', 'payload',
        format('A payload of %s bytes never fits into queue %s, whose capacity is %s bytes.', size, p_queue, bytes_at_most),
        jsonb_build_object('queue', p_queue, 'limit_bytes', bytes_at_most));
    END IF;
    PERFORM refuse('queue_full', 'JQ003', 'queue',
      format('The queue %s is full: %s of %s jobs, %s of %s bytes.', p_queue, q.scheduled + q.ready + q.leased, at_most, q.bytes, bytes_at_most),
      jsonb_build_object('queue', p_queue, 'capacity_jobs', at_most, 'capacity_bytes', bytes_at_most,
                         'jobs', q.scheduled + q.ready + q.leased, 'bytes', q.bytes));
  END IF;
  IF p_unique_key IS NOT NULL THEN
    SELECT u.job INTO holder FROM unique_key u WHERE u.queue = q.id AND u.key = p_unique_key;
    IF holder IS NOT NULL THEN
      PERFORM refuse('not_unique', 'JQ004', 'unique_key', format('Job %s holds the unique key ''%s'' in queue %s.', holder, p_unique_key, p_queue),
        jsonb_build_object('queue', p_queue, 'unique_key', p_unique_key, 'job_id', holder));
    END IF;
  END IF;

  attempts := coalesce(p_max_attempts, (q.settings::json ->> 'max_attempts')::bigint, b.max_attempts);
  ready_from := greatest(moment, CASE WHEN p_run_at IS NULL THEN moment + coalesce(p_delay_ms, 0)
                                       ELSE round(extract(epoch FROM greatest(p_run_at, '1970-01-01Z')) * 1000)::bigint END);
  expires := CASE WHEN p_expires_at IS NOT NULL THEN round(extract(epoch FROM greatest(p_expires_at, '1970-01-01Z')) * 1000)::bigint
                  ELSE least(ready_from + coalesce(p_expires_in_ms, (q.settings::json ->> 'expires_in_ms')::bigint), 253402300799999) END;
  IF p_expires_at IS NULL AND p_expires_in_ms IS NULL AND q.settings::json ->> 'expires_in_ms' IS NULL THEN expires := NULL; END IF;
  IF expires <= ready_from THEN PERFORM breach('expires_at', 'must be later than the time at which the job is due'); END IF;
  extras := nullif(jsonb_strip_nulls(jsonb_build_object('lease_ms', p_lease_ms, 'unique_key', p_unique_key,
    'unique_while', nullif(p_unique_while, 'unfinished'), 'group_key', p_group_key, 'group_limit', nullif(p_group_limit, 1),
    'tags', nullif(p_tags, '{}'), 'expires_at', expires)), '{}')::text;
  number := take('job_id', 1);
  INSERT INTO job(id, queue, priority, max_attempts, size, created_at, type, extras, content_type, payload)
  VALUES (number, q.id, p_priority, attempts, size, moment, p_type, extras, p_content_type, p_payload);
  IF p_unique_key IS NOT NULL THEN INSERT INTO unique_key(queue, key, job) VALUES (q.id, p_unique_key, number); END IF;
  IF expires IS NOT NULL THEN INSERT INTO job_expiry(job, queue, at) VALUES (number, q.id, expires); END IF;
  IF ready_from > moment THEN
    INSERT INTO scheduled(job, queue, ready_at, priority, attempt, failures, crashes) VALUES (number, q.id, ready_from, p_priority, 0, 0, 0);
  ELSE
    IF p_group_key IS NOT NULL THEN  -- if others are held, there is no free slot, and no job may overtake them
      is_held := EXISTS (SELECT FROM held h WHERE h.queue = q.id AND h.group_key = p_group_key)
        OR (SELECT count(*) FROM group_place g WHERE g.queue = q.id AND g.group_key = p_group_key) >= p_group_limit;
    END IF;
    IF is_held THEN
      INSERT INTO held(queue, group_key, job, priority, ready_at, attempt, failures, crashes)
      VALUES (q.id, p_group_key, number, p_priority, ready_from, 0, 0, 0);
    ELSE
      INSERT INTO ready(queue, priority, job, ready_at, attempt, failures, crashes, type)
      VALUES (q.id, p_priority, number, ready_from, 0, 0, 0, CASE WHEN q.typed IS NOT NULL THEN p_type END);
      IF p_group_key IS NOT NULL THEN INSERT INTO group_place(queue, group_key, job) VALUES (q.id, p_group_key, number); END IF;
    END IF;
  END IF;
  UPDATE queue u SET
    scheduled = u.scheduled + (ready_from > moment)::int,
    ready = u.ready + (ready_from <= moment)::int,
    bytes = u.bytes + size,
    seen_at = moment,
    ready_floors = CASE WHEN ready_from > moment OR is_held THEN u.ready_floors
                        ELSE with_line(CASE WHEN u.ready = 0 THEN '{}' ELSE u.ready_floors END, p_priority, number, b.ready_floors) END
  WHERE u.ctid = (SELECT n.ctid FROM queue n WHERE n.id BETWEEN q.id AND q.id ORDER BY n.id DESC LIMIT 1);
  IF NOT FOUND THEN RAISE EXCEPTION 'The row of queue % is held and was not found again.', p_queue; END IF;
  IF p_idempotency_key IS NOT NULL THEN
    INSERT INTO kept_answer(scope, key, digest, receipts, first_job, last_job, at)
    VALUES (p_queue, p_idempotency_key, said,
            convert_to(jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('id', number, 'queue', p_queue, 'priority', p_priority,
              'max_attempts', attempts, 'created_at', moment, 'state', CASE WHEN ready_from > moment THEN 'scheduled' END,
              'ready_at', nullif(ready_from, moment))))::text, 'UTF8'),
            number, number, moment);
  END IF;
  RETURN number;
END $$;

DROP FUNCTION put_job(text, bytea, text, text, bigint, bigint, timestamptz, bigint, bigint, text, text, text, bigint, text[], text);
REVOKE ALL ON FUNCTION check_deadline(bigint, timestamptz, timestamptz, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION put_job(text, bytea, text, text, bigint, bigint, timestamptz, bigint, bigint, text, text, text, bigint, text[], text, bigint, timestamptz)
  FROM PUBLIC;
