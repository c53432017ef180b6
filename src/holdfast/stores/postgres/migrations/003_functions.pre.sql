-- Replaces functions of 001_jobs and 002_enqueue. Names, arguments and grants stay, so that nodes of the previous version, and applications, can go
-- on using them.
--
-- `take` and `give_back` release their lock also if they are cancelled: it belongs to the session, not to the transaction.
--
-- `holdfast.enqueue` scans the index for its queue from the newest version of the row, as a node's batches do (statements/lock_queues.sql): with `=`
-- the newest comes after all dead ones, which can't be vacuumed while an old snapshot exists. So `hold_queue` and the UPDATE at the end of
-- `put_job` have changed. Also: it is an error if the UPDATE finds no row, tags of more than one dimension are refused, and `put_job` is planned
-- as on the store's own connections, whatever the session of the application has set. The refusal of a payload that is larger than its whole queue
-- does not say that it can be retried.

-- Take `count` consecutive numbers. The lock is held for this call only; sequences never go back, even if the transaction is rolled back.
CREATE OR REPLACE FUNCTION take(numbers regclass, count bigint) RETURNS bigint LANGUAGE plpgsql SET search_path = holdfast AS $$
DECLARE first bigint;
BEGIN
  IF count <= 0 THEN RETURN NULL; END IF;
  PERFORM pg_advisory_lock(1215261796, numbers::oid::int);
  first := nextval(numbers);
  IF count > 1 THEN PERFORM setval(numbers, first + count - 1); END IF;
  PERFORM pg_advisory_unlock(1215261796, numbers::oid::int);
  RETURN first;
EXCEPTION WHEN query_canceled OR OTHERS THEN
  PERFORM pg_advisory_unlock(1215261796, numbers::oid::int);
  RAISE;
END $$;

-- Give back numbers that were taken and not used, unless others have been taken since.
CREATE OR REPLACE FUNCTION give_back(numbers regclass, used bigint, up_to bigint) RETURNS void LANGUAGE plpgsql SET search_path = holdfast AS $$
BEGIN
  PERFORM pg_advisory_lock(1215261796, numbers::oid::int);
  IF pg_sequence_last_value(numbers) = up_to THEN PERFORM setval(numbers, greatest(used, 1), used > 0); END IF;
  PERFORM pg_advisory_unlock(1215261796, numbers::oid::int);
EXCEPTION WHEN query_canceled OR OTHERS THEN
  PERFORM pg_advisory_unlock(1215261796, numbers::oid::int);
  RAISE;
END $$;

-- The queue with this name, locked; created if it does not exist.
CREATE OR REPLACE FUNCTION hold_queue(wanted text, most bigint) RETURNS queue LANGUAGE plpgsql AS $$
DECLARE
  mine holdfast.queue;
  moment bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
  LOOP
    SELECT q.* INTO mine FROM holdfast.queue q WHERE q.name BETWEEN wanted AND wanted ORDER BY q.name DESC LIMIT 1 FOR UPDATE;
    IF mine.id IS NOT NULL THEN RETURN mine; END IF;
    IF (SELECT count(*) FROM holdfast.queue) >= most THEN
      PERFORM holdfast.refuse('invalid_request', 'JQ001', 'queue', format('There are %s queues already; that is the most.', most));
    END IF;
    INSERT INTO holdfast.queue(name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes, seen_at, lows)
    VALUES (wanted, '{}', 0, moment, 0, 0, 0, 0, 0, 0, 0, moment, '\x80') ON CONFLICT (name) DO NOTHING;
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION put_job(
  p_queue text, p_payload bytea, p_content_type text, p_type text, p_priority bigint, p_delay_ms bigint, p_run_at timestamptz,
  p_max_attempts bigint, p_lease_ms bigint, p_unique_key text, p_unique_while text, p_group_key text, p_group_limit bigint, p_tags text[],
  p_idempotency_key text
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

  -- From here on the queue is locked, and a session that is idle meanwhile blocks all others that use the queue.
  IF current_setting('idle_in_transaction_session_timeout')::interval NOT BETWEEN '1 ms' AND b.hold_ms * interval '1 ms' THEN
    PERFORM set_config('idle_in_transaction_session_timeout', b.hold_ms || 'ms', true);
  END IF;
  q := hold_queue(p_queue, b.queues);
  moment := greatest((extract(epoch FROM clock_timestamp()) * 1000)::bigint, q.seen_at);
  PERFORM nextval('enqueued');

  IF p_idempotency_key IS NOT NULL THEN
    said := sha256(convert_to(jsonb_build_array('sql', sha256(p_payload)::text, p_content_type, p_type, p_priority, p_delay_ms, p_run_at,
      p_max_attempts, p_lease_ms, p_unique_key, p_unique_while, p_group_key, p_group_limit, p_tags)::text, 'UTF8'));
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
  IF p_lease_ms IS NOT NULL OR p_unique_key IS NOT NULL OR p_group_key IS NOT NULL OR p_tags <> '{}' THEN
    extras := json_build_array(p_lease_ms, NULL, p_unique_key, CASE WHEN p_unique_key IS NULL THEN 'unfinished' ELSE p_unique_while END,
                               p_group_key, p_group_limit, p_tags, NULL, NULL);
  END IF;
  number := take('job_id', 1);
  INSERT INTO job(id, queue, priority, max_attempts, size, created_at, type, extras, content_type, payload)
  VALUES (number, q.id, p_priority, attempts, size, moment, p_type, extras, p_content_type, p_payload);
  IF p_unique_key IS NOT NULL THEN INSERT INTO unique_key(queue, key, job) VALUES (q.id, p_unique_key, number); END IF;
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
      INSERT INTO ready(queue, priority, job, ready_at, attempt, failures, crashes) VALUES (q.id, p_priority, number, ready_from, 0, 0, 0);
      IF p_group_key IS NOT NULL THEN INSERT INTO group_place(queue, group_key, job) VALUES (q.id, p_group_key, number); END IF;
    END IF;
  END IF;
  UPDATE queue u SET
    scheduled = u.scheduled + (ready_from > moment)::int,
    ready = u.ready + (ready_from <= moment)::int,
    bytes = u.bytes + size,
    seen_at = moment,
    lows = CASE WHEN ready_from > moment OR is_held THEN u.lows
                ELSE lows_with(CASE WHEN u.ready = 0 THEN '\x80' ELSE u.lows END, p_priority, number) END
  WHERE u.ctid = (SELECT n.ctid FROM queue n WHERE n.id BETWEEN q.id AND q.id ORDER BY n.id DESC LIMIT 1);
  IF NOT FOUND THEN RAISE EXCEPTION 'The row of queue % is held and was not found again.', p_queue; END IF;
  IF p_idempotency_key IS NOT NULL THEN
    INSERT INTO kept_answer(scope, key, digest, receipts, first_job, last_job, at)
    VALUES (p_queue, p_idempotency_key, said,
            '\x9197'::bytea || packed(number) || packed(p_queue) || packed(CASE WHEN ready_from > moment THEN 'scheduled' ELSE 'ready' END)
              || packed(p_priority) || packed(attempts::bigint) || packed(moment) || packed(ready_from),
            number, number, moment);
  END IF;
  RETURN number;
END $$;
