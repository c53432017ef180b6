-- Enqueue in an application's own transaction: `holdfast.enqueue`. See docs/transactional-enqueue.md.
--
-- These functions check all that can refuse a job or hold it back: bounds, room, unique keys, groups. The values of the bounds are in
-- `enqueue_bounds`: each node writes them when it connects. tests/contract/stores/postgres/test_enqueue.py runs the same cases through these
-- functions and through the engine, and compares the answers and the rows.
--
-- Like a batch of a node, it locks the queue's row before it reads anything of the queue, until the transaction ends.

CREATE TABLE enqueue_bounds(                -- written by the last node that connected
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  queue_name text NOT NULL,                 -- a regular expression
  queue_name_chars bigint NOT NULL,
  queues bigint NOT NULL,
  payload_bytes bigint NOT NULL,
  json_depth bigint NOT NULL,
  type_chars bigint NOT NULL,
  content_type_chars bigint NOT NULL,
  key_chars bigint NOT NULL,
  request_id_chars bigint NOT NULL,
  tags bigint NOT NULL,
  tag_chars bigint NOT NULL,
  priority bigint NOT NULL,
  priority_max bigint NOT NULL,
  delay_ms_max bigint NOT NULL,
  attempts_max bigint NOT NULL,
  lease_ms_max bigint NOT NULL,
  group_limit_max bigint NOT NULL,
  capacity_jobs bigint NOT NULL,            -- from here on: the defaults of a queue
  capacity_bytes bigint NOT NULL,
  max_attempts bigint NOT NULL,
  hold_ms bigint NOT NULL                   -- PostgreSQL ends the session of an application that is idle for longer while it holds a queue's lock
);

CREATE SEQUENCE enqueued;                   -- how often `enqueue` was called, so that nodes notice new jobs

CREATE FUNCTION refuse(code text, state text, field text, message text, more jsonb DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, COLUMN = coalesce(field, ''),
    DETAIL = (jsonb_build_object('code', code) || CASE WHEN field IS NULL THEN '{}' ELSE jsonb_build_object('field', field) END || more)::text;
END $$;

CREATE FUNCTION breach(field text, rule text) RETURNS void LANGUAGE sql AS $$
  SELECT holdfast.refuse('invalid_request', 'JQ001', field, field || ' ' || rule || '.')
$$;

CREATE FUNCTION check_number(field text, value bigint, low bigint, high bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF value < low OR value > high THEN PERFORM holdfast.breach(field, format('must be from %s to %s', low, high)); END IF;
END $$;

CREATE FUNCTION check_text(field text, value text, chars bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF char_length(value) > chars THEN PERFORM holdfast.breach(field, format('must have at most %s characters', chars)); END IF;
END $$;

-- Whether a JSON document has at most so many levels: each turn of the loop removes the innermost one.
CREATE FUNCTION nested_within(document text, levels bigint) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE brackets text;
BEGIN
  IF char_length(document) - char_length(translate(document, '[{', '')) <= levels THEN RETURN true; END IF;
  brackets := regexp_replace(regexp_replace(document, '"(?:[^"\\]|\\.)*"', '', 'g'), '[^][{}]', '', 'g');
  FOR _ IN 1..levels LOOP
    brackets := replace(replace(brackets, '[]', ''), '{}', '');
    IF brackets = '' THEN RETURN true; END IF;
  END LOOP;
  RETURN false;
END $$;

-- The part of msgpack that `kept_answer.receipts` and `queue.lows` need.
CREATE FUNCTION packed(n bigint) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN n < 128 THEN substring(int8send(n) FROM 8)
    WHEN n < 256 THEN '\xcc'::bytea || substring(int8send(n) FROM 8)
    WHEN n < 65536 THEN '\xcd'::bytea || substring(int8send(n) FROM 7)
    WHEN n < 4294967296 THEN '\xce'::bytea || substring(int8send(n) FROM 5)
    ELSE '\xcf'::bytea || int8send(n)
  END
$$;
CREATE FUNCTION packed(t text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN octet_length(t) < 32 THEN substring(int8send(160 + octet_length(t)) FROM 8)
              ELSE '\xd9'::bytea || substring(int8send(octet_length(t)) FROM 8) END || convert_to(t, 'UTF8')
$$;

-- `queue.lows` with this priority; NULL if more than 16 are in use. A new job has the highest id, so an existing entry of its priority stays.
CREATE FUNCTION lows_with(lows bytea, wanted bigint, job bigint) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  head int := get_byte(lows, 0);
  place int := 1;                           -- of the next byte to read, from 0
  entries int;
  width int;
  value bigint;
  key bigint;
BEGIN
  IF lows IS NULL THEN RETURN NULL; END IF;
  IF head BETWEEN 128 AND 143 THEN entries := head - 128;
  ELSIF head = 222 THEN entries := get_byte(lows, 1) * 256 + get_byte(lows, 2); place := 3;
  ELSE RETURN NULL;
  END IF;
  FOR item IN 1 .. entries * 2 LOOP
    head := get_byte(lows, place);
    place := place + 1;
    width := CASE WHEN head < 128 THEN 0 WHEN head = 204 THEN 1 WHEN head = 205 THEN 2 WHEN head = 206 THEN 4 WHEN head = 207 THEN 8 END;
    IF width IS NULL THEN RETURN NULL; END IF;
    value := CASE WHEN width = 0 THEN head ELSE 0 END;
    FOR _ IN 1 .. width LOOP
      value := value * 256 + get_byte(lows, place);
      place := place + 1;
    END LOOP;
    IF item % 2 = 1 THEN key := value; END IF;
    IF key = wanted THEN RETURN lows; END IF;
  END LOOP;
  IF entries >= 16 THEN RETURN NULL; END IF;
  RETURN CASE WHEN entries = 15 THEN '\xde0010'::bytea ELSE substring(int8send(129 + entries) FROM 8) END
         || substring(lows FROM CASE WHEN get_byte(lows, 0) = 222 THEN 4 ELSE 2 END) || holdfast.packed(wanted) || holdfast.packed(job);
END $$;

-- Check all arguments for one job, in the order of the engine's checks.
CREATE FUNCTION check_job(
  b enqueue_bounds, queue text, size bigint, type text, content_type text, priority bigint, max_attempts bigint, delay_ms bigint,
  run_at timestamptz, lease_ms bigint, unique_key text, unique_while text, group_key text, group_limit bigint, tags text[], idempotency_key text
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  place bigint;
  tag text;
BEGIN
  IF queue IS NULL OR queue COLLATE "C" !~ ('^' || b.queue_name) THEN
    PERFORM holdfast.breach('queue', format('must be 1 to %s of the characters A-Z a-z 0-9 . _ : -', b.queue_name_chars));
  END IF;
  IF size > b.payload_bytes THEN
    PERFORM holdfast.refuse('payload_too_large', 'JQ002', 'payload',
      format('payload has %s bytes; at most %s are taken.', size, b.payload_bytes), jsonb_build_object('limit_bytes', b.payload_bytes));
  END IF;
  PERFORM holdfast.check_text('type', type, b.type_chars);
  PERFORM holdfast.check_text('content_type', content_type, b.content_type_chars);
  IF content_type !~ '^[ -~]+$' THEN PERFORM holdfast.breach('content_type', 'must be printable ASCII characters'); END IF;
  PERFORM holdfast.check_number('priority', priority, 0, b.priority_max);
  PERFORM holdfast.check_number('max_attempts', max_attempts, 1, b.attempts_max);
  IF delay_ms IS NOT NULL AND run_at IS NOT NULL THEN PERFORM holdfast.breach('run_at', 'can''t stand beside delay_ms'); END IF;
  PERFORM holdfast.check_number('delay_ms', delay_ms, 0, b.delay_ms_max);
  IF run_at > '9999-12-31T23:59:59.999Z' THEN PERFORM holdfast.breach('run_at', 'must be at most 9999-12-31T23:59:59.999Z'); END IF;
  PERFORM holdfast.check_number('lease_ms', lease_ms, 1, b.lease_ms_max);
  IF unique_key = '' THEN PERFORM holdfast.breach('unique_key', 'must not be empty'); END IF;
  PERFORM holdfast.check_text('unique_key', unique_key, b.key_chars);
  IF group_key = '' THEN PERFORM holdfast.breach('group_key', 'must not be empty'); END IF;
  PERFORM holdfast.check_text('group_key', group_key, b.key_chars);
  IF group_key IS NULL AND group_limit <> 1 THEN PERFORM holdfast.breach('group_limit', 'needs a group_key'); END IF;
  PERFORM holdfast.check_number('group_limit', group_limit, 1, b.group_limit_max);
  IF unique_while NOT IN ('unfinished', 'queued') THEN PERFORM holdfast.breach('unique_while', 'must be unfinished or queued'); END IF;
  IF cardinality(tags) > b.tags THEN PERFORM holdfast.breach('tags', format('must have at most %s entries', b.tags)); END IF;
  FOR tag, place IN SELECT * FROM unnest(tags) WITH ORDINALITY LOOP
    IF tag IS NULL THEN PERFORM holdfast.breach(format('tags[%s]', place - 1), 'must be a text'); END IF;
    PERFORM holdfast.check_text(format('tags[%s]', place - 1), tag, b.tag_chars);
  END LOOP;
  IF char_length(idempotency_key) > b.request_id_chars OR idempotency_key !~ '^[ -~]+$' THEN
    PERFORM holdfast.breach('idempotency_key', format('must be 1 to %s printable ASCII characters', b.request_id_chars));
  END IF;
END $$;

-- The queue with this name, locked; created if it does not exist.
CREATE FUNCTION hold_queue(wanted text, most bigint) RETURNS queue LANGUAGE plpgsql AS $$
DECLARE
  mine holdfast.queue;
  moment bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
  LOOP
    SELECT * INTO mine FROM holdfast.queue q WHERE q.name = wanted FOR UPDATE;
    IF mine.id IS NOT NULL THEN RETURN mine; END IF;
    IF (SELECT count(*) FROM holdfast.queue) >= most THEN
      PERFORM holdfast.refuse('invalid_request', 'JQ001', 'queue', format('There are %s queues already; that is the most.', most));
    END IF;
    INSERT INTO holdfast.queue(name, settings, paused, created_at, scheduled, ready, leased, concluded, dead, cancelled, bytes, seen_at, lows)
    VALUES (wanted, '{}', 0, moment, 0, 0, 0, 0, 0, 0, 0, moment, '\x80') ON CONFLICT (name) DO NOTHING;
  END LOOP;
END $$;

CREATE FUNCTION put_job(
  p_queue text, p_payload bytea, p_content_type text, p_type text, p_priority bigint, p_delay_ms bigint, p_run_at timestamptz,
  p_max_attempts bigint, p_lease_ms bigint, p_unique_key text, p_unique_while text, p_group_key text, p_group_limit bigint, p_tags text[],
  p_idempotency_key text
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = holdfast, pg_temp SET enable_seqscan = off AS $$
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
  WHERE u.id = q.id;
  IF p_idempotency_key IS NOT NULL THEN
    INSERT INTO kept_answer(scope, key, digest, receipts, first_job, last_job, at)
    VALUES (p_queue, p_idempotency_key, said,
            '\x9197'::bytea || packed(number) || packed(p_queue) || packed(CASE WHEN ready_from > moment THEN 'scheduled' ELSE 'ready' END)
              || packed(p_priority) || packed(attempts::bigint) || packed(moment) || packed(ready_from),
            number, number, moment);
  END IF;
  RETURN number;
END $$;

-- The functions for applications: for JSON as text, which is stored byte for byte, for JSON as jsonb, and for any bytes.
CREATE FUNCTION enqueue(
  queue text, payload text, type text DEFAULT '', priority bigint DEFAULT NULL, delay_ms bigint DEFAULT NULL, run_at timestamptz DEFAULT NULL,
  max_attempts bigint DEFAULT NULL, lease_ms bigint DEFAULT NULL, unique_key text DEFAULT NULL, unique_while text DEFAULT 'unfinished',
  group_key text DEFAULT NULL, group_limit bigint DEFAULT 1, tags text[] DEFAULT '{}', idempotency_key text DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = holdfast, pg_temp AS $$
BEGIN
  payload := coalesce(payload, 'null');
  PERFORM payload::json;
  IF NOT nested_within(payload, (SELECT json_depth FROM enqueue_bounds)) THEN
    PERFORM breach('payload', format('must not be nested deeper than %s levels', (SELECT json_depth FROM enqueue_bounds)));
  END IF;
  RETURN put_job(queue, convert_to(payload, 'UTF8'), NULL, type, priority, delay_ms, run_at, max_attempts, lease_ms, unique_key, unique_while,
                 group_key, group_limit, tags, idempotency_key);
END $$;

CREATE FUNCTION enqueue(
  queue text, payload jsonb, type text DEFAULT '', priority bigint DEFAULT NULL, delay_ms bigint DEFAULT NULL, run_at timestamptz DEFAULT NULL,
  max_attempts bigint DEFAULT NULL, lease_ms bigint DEFAULT NULL, unique_key text DEFAULT NULL, unique_while text DEFAULT 'unfinished',
  group_key text DEFAULT NULL, group_limit bigint DEFAULT 1, tags text[] DEFAULT '{}', idempotency_key text DEFAULT NULL
) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = holdfast, pg_temp AS $$
  SELECT enqueue($1, $2::text, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
$$;

CREATE FUNCTION enqueue(
  queue text, payload bytea, content_type text DEFAULT 'application/octet-stream', type text DEFAULT '', priority bigint DEFAULT NULL, delay_ms bigint DEFAULT NULL, run_at timestamptz DEFAULT NULL,
  max_attempts bigint DEFAULT NULL, lease_ms bigint DEFAULT NULL, unique_key text DEFAULT NULL, unique_while text DEFAULT 'unfinished',
  group_key text DEFAULT NULL, group_limit bigint DEFAULT 1, tags text[] DEFAULT '{}', idempotency_key text DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = holdfast, pg_temp AS $$
BEGIN
  IF payload IS NULL THEN PERFORM breach('payload', 'must be given'); END IF;
  IF content_type IS NULL OR lower(trim(split_part(content_type, ';', 1))) SIMILAR TO '(application/json|%\+json|)' THEN
    PERFORM breach('content_type', 'must not be JSON: give the payload as jsonb or text');
  END IF;
  RETURN put_job(queue, payload, content_type, type, priority, delay_ms, run_at, max_attempts, lease_ms, unique_key, unique_while,
                 group_key, group_limit, tags, idempotency_key);
END $$;

-- Only the owner may call these functions, until `let_enqueue` grants `enqueue` to an application.
CREATE FUNCTION let_enqueue(application regrole) RETURNS void LANGUAGE plpgsql AS $$
DECLARE one regprocedure;
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA holdfast TO %s', application);
  FOR one IN SELECT oid FROM pg_proc WHERE pronamespace = 'holdfast'::regnamespace AND proname = 'enqueue' LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', one, application);
  END LOOP;
END $$;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA holdfast FROM PUBLIC;
