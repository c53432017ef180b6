-- Enqueueing in an application's transaction without a lock: `holdfast.enqueue` writes to an inbox, and a node takes it in after the commit.
--
-- What `holdfast.enqueue` was is `holdfast.enqueue_exact` from here on. While nodes of the release before may serve, which do not look into the inbox,
-- `holdfast.enqueue` does what it did.
--
-- A node decides what becomes of a row, by the rules of every other way in. Only what needs no lock is checked here: names, sizes, types, and, by
-- what is committed already, whether the queue is full, the unique key taken or the idempotency key used.
-- locks: enqueue_bounds

CREATE TABLE inbox(
  job bigint PRIMARY KEY CHECK (job > 0),     -- the id that the application was told
  xact xid8 NOT NULL,                         -- its transaction: what has become visible since an earlier look is found by it
  at bigint NOT NULL,                         -- when it was put here
  size bigint NOT NULL,                       -- of payload and options
  queue text NOT NULL COLLATE "C",
  options text NOT NULL,                      -- JSON: the options of a job by the names of the HTTP API
  content_type text,
  payload bytea NOT NULL,
  unique_key text COLLATE "C",                -- of a job that is to be refused if another has it
  idempotency_key text COLLATE "C",
  digest bytea                                -- of a request with an idempotency key
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX inbox_xact ON inbox(xact, job);
CREATE INDEX inbox_unique ON inbox(queue, unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX inbox_key ON inbox(queue, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- How much the inbox may hold. A counter in a table would be a lock until the commit, so sequences count, which no transaction holds: calls, rolled
-- back ones too, since the inbox was counted last. Only where they say that it could be full it is counted again.
CREATE SEQUENCE inbox_calls;                  -- never set back: whether anybody enqueues this way
CREATE SEQUENCE inbox_rows;
CREATE SEQUENCE inbox_units;                  -- each 64 KiB, and at least one for each row
CREATE SEQUENCE inbox_full;                   -- when it was found full, in ms

ALTER TABLE enqueue_bounds
  ADD COLUMN options jsonb NOT NULL DEFAULT '{}',  -- the options of a job and their JSON types
  ADD COLUMN options_bytes bigint NOT NULL DEFAULT 65536,
  ADD COLUMN inbox_rows bigint NOT NULL DEFAULT 100000,
  ADD COLUMN inbox_bytes bigint NOT NULL DEFAULT 1073741824;

-- Whether this transaction sees what is committed by now, and not only what was when it began.
CREATE FUNCTION sees_the_present() RETURNS boolean LANGUAGE sql AS $$ SELECT current_setting('transaction_isolation') LIKE 'read %' $$;

CREATE FUNCTION count_inbox(OUT rows bigint, OUT bytes bigint, OUT oldest bigint) LANGUAGE plpgsql SET search_path = holdfast, pg_temp AS $$
BEGIN
  SELECT count(*), coalesce(sum(i.size), 0), min(i.at) INTO rows, bytes, oldest FROM inbox i;
  IF NOT sees_the_present() THEN RETURN; END IF;  -- what it has counted is of the past
  PERFORM setval('inbox_rows', greatest(rows, 1), rows > 0), setval('inbox_units', greatest(bytes / 65536, 1), bytes >= 65536);
END $$;

-- Count one more row; refuse it if the inbox is full.
CREATE FUNCTION admit_to_inbox(b enqueue_bounds, bytes bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  rows bigint := nextval('holdfast.inbox_rows');
  units bigint;
  counted record;
  moment bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
  PERFORM nextval('holdfast.inbox_calls');
  FOR _ IN 0 .. bytes / 65536 LOOP units := nextval('holdfast.inbox_units'); END LOOP;
  IF rows <= b.inbox_rows AND units * 65536 <= b.inbox_bytes THEN RETURN; END IF;
  IF (SELECT f.last_value FROM holdfast.inbox_full f) < moment - 200 THEN
    counted := holdfast.count_inbox();
    IF counted.rows < b.inbox_rows AND counted.bytes + bytes <= b.inbox_bytes THEN
      PERFORM nextval('holdfast.inbox_rows');  -- this one
      FOR _ IN 0 .. bytes / 65536 LOOP PERFORM nextval('holdfast.inbox_units'); END LOOP;
      RETURN;
    END IF;
    IF holdfast.sees_the_present() THEN PERFORM setval('holdfast.inbox_full', moment); END IF;
  END IF;
  PERFORM holdfast.refuse('queue_full', 'JQ003', 'queue', format(
    'The inbox of holdfast.enqueue is full: at most %s jobs and %s bytes wait to be taken in by a node.', b.inbox_rows, b.inbox_bytes),
    jsonb_build_object('capacity_jobs', b.inbox_rows, 'capacity_bytes', b.inbox_bytes));
END $$;

-- The options of a job, those given by an argument among them; each is known, given once, and of its type.
CREATE FUNCTION all_options(b enqueue_bounds, named jsonb, given jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  name text;
  value jsonb;
BEGIN
  IF given IS NULL OR given = 'null' THEN RETURN named; END IF;
  IF jsonb_typeof(given) <> 'object' THEN PERFORM holdfast.breach('options', 'must be a JSON object'); END IF;
  FOR name, value IN SELECT * FROM jsonb_each(given) LOOP
    IF NOT b.options ? name THEN PERFORM holdfast.breach(name, 'is not an option of a job'); END IF;
    IF named ? name THEN PERFORM holdfast.breach(name, 'is given twice: by an argument and in options'); END IF;
    IF value = 'null' THEN given := given - name; CONTINUE; END IF;
    IF b.options ->> name <> jsonb_typeof(value) THEN
      PERFORM holdfast.breach(name, format('must be of the JSON type %s, not %s', b.options ->> name, jsonb_typeof(value)));
    END IF;
  END LOOP;
  IF octet_length(given::text) > b.options_bytes THEN
    PERFORM holdfast.breach('options', format('must have at most %s bytes', b.options_bytes));
  END IF;
  RETURN named || given;
END $$;

CREATE FUNCTION whole_option(options jsonb, name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE value numeric := (options ->> name)::numeric;
BEGIN
  IF value IS NULL THEN RETURN NULL; END IF;
  IF scale(value) > 0 THEN PERFORM holdfast.breach(name, 'must be a whole number'); END IF;
  RETURN least(greatest(value, -9223372036854775808), 9223372036854775807)::bigint;
END $$;

CREATE FUNCTION moment_option(options jsonb, name text) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE value text := options ->> name;
BEGIN
  IF value IS NULL THEN RETURN NULL; END IF;
  IF value !~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d([.]\d{1,9})?([Zz]|[+-]\d\d:?\d\d)$' THEN
    PERFORM holdfast.breach(name, 'must be a moment such as 2026-01-31T12:00:00Z');
  END IF;
  RETURN value::timestamptz;
EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format OR invalid_time_zone_displacement_value THEN
  PERFORM holdfast.breach(name, 'must be a moment such as 2026-01-31T12:00:00Z');
END $$;

-- Refuse what would be refused by what is committed already, or waits to be taken in. It locks nothing, so it may be otherwise when the job is taken in.
CREATE FUNCTION look_ahead(b enqueue_bounds, wanted text, size bigint, wanted_key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  q record;
  at_most bigint;
  bytes_at_most bigint;
  holder bigint;
BEGIN
  SELECT n.id, n.settings::json AS settings, n.scheduled + n.ready + n.leased AS jobs, n.bytes INTO q
  FROM holdfast.queue n WHERE n.name BETWEEN wanted AND wanted ORDER BY n.name DESC LIMIT 1;
  at_most := coalesce((q.settings ->> 'capacity_jobs')::bigint, b.capacity_jobs);
  bytes_at_most := coalesce((q.settings ->> 'capacity_bytes')::bigint, b.capacity_bytes);
  IF q.id IS NOT NULL AND (q.jobs + 1 > at_most OR (size > 0 AND q.bytes + size > bytes_at_most)) THEN
    IF bytes_at_most > 0 AND size > bytes_at_most THEN
      PERFORM holdfast.refuse('payload_too_large', 'JQ002', 'payload',
        format('A payload of %s bytes never fits into queue %s, whose capacity is %s bytes.', size, wanted, bytes_at_most),
        jsonb_build_object('queue', wanted, 'limit_bytes', bytes_at_most));
    END IF;
    PERFORM holdfast.refuse('queue_full', 'JQ003', 'queue',
      format('The queue %s is full: %s of %s jobs, %s of %s bytes.', wanted, q.jobs, at_most, q.bytes, bytes_at_most),
      jsonb_build_object('queue', wanted, 'capacity_jobs', at_most, 'capacity_bytes', bytes_at_most, 'jobs', q.jobs, 'bytes', q.bytes));
  END IF;
  IF wanted_key IS NULL THEN RETURN; END IF;
  SELECT u.job INTO holder FROM holdfast.unique_key u WHERE u.queue = q.id AND u.key = wanted_key;
  IF holder IS NULL THEN
    SELECT i.job INTO holder FROM holdfast.inbox i WHERE i.queue = wanted AND i.unique_key = wanted_key ORDER BY i.job LIMIT 1;
  END IF;
  IF holder IS NOT NULL THEN
    PERFORM holdfast.refuse('not_unique', 'JQ004', 'unique_key', format('Job %s holds the unique key ''%s'' in queue %s.', holder, wanted_key, wanted),
      jsonb_build_object('queue', wanted, 'unique_key', wanted_key, 'job_id', holder));
  END IF;
END $$;

CREATE FUNCTION put_in_inbox(
  b enqueue_bounds, p_queue text, p_payload bytea, p_content_type text, p_type text, p_priority bigint, p_delay_ms bigint, p_run_at timestamptz,
  p_max_attempts bigint, p_lease_ms bigint, p_unique_key text, p_unique_while text, p_group_key text, p_group_limit bigint, p_tags text[],
  p_idempotency_key text, p_expires_in_ms bigint, p_expires_at timestamptz, p_options jsonb
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = holdfast, pg_temp
  SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  iso CONSTANT text := 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"';
  options jsonb;
  others jsonb;
  size bigint := octet_length(p_payload);
  conflict text;
  first record;
  said bytea;
  number bigint;
BEGIN
  IF p_run_at < '1970-01-01Z' THEN p_run_at := '1970-01-01Z'; END IF;
  IF p_run_at > '9999-12-31T23:59:59.999Z' THEN PERFORM breach('run_at', 'must be at most 9999-12-31T23:59:59.999Z'); END IF;
  IF p_expires_at < '1970-01-01Z' THEN p_expires_at := '1970-01-01Z'; END IF;
  IF p_expires_at > '9999-12-31T23:59:59.999Z' THEN PERFORM breach('expires_at', 'must be at most 9999-12-31T23:59:59.999Z'); END IF;
  IF array_ndims(p_tags) > 1 THEN PERFORM breach('tags', 'must be a list of texts, and not of lists'); END IF;
  options := all_options(b, jsonb_strip_nulls(jsonb_build_object('type', nullif(p_type, ''), 'priority', p_priority, 'delay_ms', p_delay_ms,
    'run_at', to_char(p_run_at AT TIME ZONE 'UTC', iso), 'max_attempts', p_max_attempts, 'lease_ms', p_lease_ms, 'unique_key', p_unique_key,
    'unique_while', nullif(p_unique_while, 'unfinished'), 'group_key', p_group_key, 'group_limit', nullif(p_group_limit, 1),
    'tags', nullif(p_tags, '{}'), 'expires_in_ms', p_expires_in_ms,
    'expires_at', to_char(p_expires_at AT TIME ZONE 'UTC', iso))), p_options);
  p_type := coalesce(options ->> 'type', '');
  p_priority := coalesce(whole_option(options, 'priority'), b.priority);
  p_delay_ms := whole_option(options, 'delay_ms');
  p_max_attempts := whole_option(options, 'max_attempts');
  p_lease_ms := whole_option(options, 'lease_ms');
  p_unique_key := options ->> 'unique_key';
  p_unique_while := coalesce(options ->> 'unique_while', 'unfinished');
  p_group_key := options ->> 'group_key';
  p_group_limit := coalesce(whole_option(options, 'group_limit'), 1);
  p_expires_in_ms := whole_option(options, 'expires_in_ms');
  IF p_options ? 'run_at' THEN p_run_at := moment_option(options, 'run_at'); END IF;
  IF p_options ? 'expires_at' THEN p_expires_at := moment_option(options, 'expires_at'); END IF;
  IF p_options ? 'tags' THEN p_tags := ARRAY(SELECT jsonb_array_elements_text(options -> 'tags')); END IF;
  p_tags := coalesce(p_tags, '{}');
  PERFORM check_job(b, p_queue, size, p_type, p_content_type, p_priority, p_max_attempts, p_delay_ms, p_run_at, p_lease_ms,
                    p_unique_key, p_unique_while, p_group_key, p_group_limit, p_tags, p_idempotency_key);
  IF p_expires_in_ms IS NOT NULL OR p_expires_at IS NOT NULL THEN
    PERFORM check_deadline(p_expires_in_ms, p_expires_at, p_run_at, b.delay_ms_max);
    IF p_expires_at <= clock_timestamp() + coalesce(p_delay_ms, 0) * interval '1 ms' THEN PERFORM breach('expires_at', 'must be later than the time at which the job is due'); END IF;
  END IF;
  conflict := coalesce(options ->> 'on_conflict', 'refuse');
  IF conflict NOT IN ('refuse', 'existing', 'replace', 'debounce') THEN
    PERFORM breach('on_conflict', 'must be refuse, existing, replace or debounce');
  END IF;
  IF conflict <> 'refuse' AND p_unique_key IS NULL THEN PERFORM breach('on_conflict', 'needs a unique_key'); END IF;

  IF p_idempotency_key IS NOT NULL THEN
    others := options - ARRAY['type', 'priority', 'delay_ms', 'run_at', 'max_attempts', 'lease_ms', 'unique_key', 'unique_while', 'group_key',
                              'group_limit', 'tags', 'expires_in_ms', 'expires_at'];
    said := sha256(convert_to(jsonb_build_array('sql', sha256(p_payload)::text, p_content_type, p_type, p_priority, p_delay_ms, p_run_at,
      p_max_attempts, p_lease_ms, p_unique_key, p_unique_while, p_group_key, p_group_limit, p_tags)::text
      || coalesce(p_expires_in_ms::text, p_expires_at::text, '') || coalesce(nullif(others, '{}')::text, ''), 'UTF8'));
    SELECT k.first_job AS job, k.digest INTO first FROM kept_answer k WHERE k.scope = p_queue AND k.key = p_idempotency_key
    UNION ALL SELECT i.job, i.digest FROM inbox i WHERE i.queue = p_queue AND i.idempotency_key = p_idempotency_key ORDER BY job LIMIT 1;
    IF first.job IS NOT NULL THEN
      IF first.digest <> said THEN
        PERFORM refuse('idempotency_mismatch', 'JQ005', 'idempotency_key',
          format('The idempotency key ''%s'' was used with another request.', p_idempotency_key));
      END IF;
      PERFORM pg_logical_emit_message(true, 'holdfast', '');  -- so that this commit waits for the standbys, as the first one did
      RETURN first.job;
    END IF;
  END IF;
  IF conflict <> 'refuse' THEN p_unique_key := NULL; END IF;
  PERFORM look_ahead(b, p_queue, size, p_unique_key);
  size := size + octet_length(options::text);
  PERFORM admit_to_inbox(b, size);
  number := take('job_id', 1);
  INSERT INTO inbox(job, xact, at, size, queue, options, content_type, payload, unique_key, idempotency_key, digest)
  VALUES (number, pg_current_xact_id(), extract(epoch FROM clock_timestamp()) * 1000, size, p_queue, options, p_content_type, p_payload,
          p_unique_key, p_idempotency_key, said);
  RETURN number;
END $$;

-- Whether nodes of the release before may serve: then the job is put at once, with the queue locked, as by that release.
CREATE FUNCTION put_job_or_inbox(
  p_queue text, p_payload bytea, p_content_type text, p_type text, p_priority bigint, p_delay_ms bigint, p_run_at timestamptz,
  p_max_attempts bigint, p_lease_ms bigint, p_unique_key text, p_unique_while text, p_group_key text, p_group_limit bigint, p_tags text[],
  p_idempotency_key text, p_expires_in_ms bigint, p_expires_at timestamptz, p_options jsonb
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE b holdfast.enqueue_bounds;
BEGIN
  SELECT * INTO b FROM holdfast.enqueue_bounds;
  IF b.only_row IS NULL THEN PERFORM holdfast.refuse('store_unavailable', 'JQ006', NULL, 'No Holdfast node has served this database yet.'); END IF;
  IF (SELECT s.min_compatible >= 16 FROM holdfast.schema_version s) THEN  -- the number of this step
    RETURN holdfast.put_in_inbox(b, p_queue, p_payload, p_content_type, p_type, p_priority, p_delay_ms, p_run_at, p_max_attempts, p_lease_ms,
      p_unique_key, p_unique_while, p_group_key, p_group_limit, p_tags, p_idempotency_key, p_expires_in_ms, p_expires_at, p_options);
  END IF;
  IF p_options IS NOT NULL THEN
    PERFORM holdfast.refuse('upgrade_unfinished', 'JQ007', 'options',
      'options are not there until the upgrade is finished: nodes of the release before may still serve this database.');
  END IF;
  RETURN holdfast.put_job(p_queue, p_payload, p_content_type, p_type, p_priority, p_delay_ms, p_run_at, p_max_attempts, p_lease_ms, p_unique_key,
    p_unique_while, p_group_key, p_group_limit, p_tags, p_idempotency_key, p_expires_in_ms, p_expires_at);
END $$;

-- The functions for applications: for JSON as text, which is stored byte for byte, for JSON as jsonb, and for any bytes.
CREATE FUNCTION json_payload(payload text) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
  payload := coalesce(payload, 'null');
  PERFORM payload::json;
  IF NOT holdfast.nested_within(payload, (SELECT json_depth FROM holdfast.enqueue_bounds)) THEN
    PERFORM holdfast.breach('payload', format('must not be nested deeper than %s levels', (SELECT json_depth FROM holdfast.enqueue_bounds)));
  END IF;
  RETURN convert_to(payload, 'UTF8');
END $$;

CREATE FUNCTION bytes_payload(payload bytea, content_type text) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
  IF payload IS NULL THEN PERFORM holdfast.breach('payload', 'must be given'); END IF;
  IF content_type IS NULL OR lower(trim(split_part(content_type, ';', 1)) COLLATE "C") SIMILAR TO '(application/json|%\+json|)' THEN
    PERFORM holdfast.breach('content_type', 'must not be JSON: give the payload as jsonb or text');
  END IF;
  RETURN payload;
END $$;

CREATE FUNCTION enqueue_exact(
  queue text, payload text, type text DEFAULT '', priority bigint DEFAULT NULL, delay_ms bigint DEFAULT NULL, run_at timestamptz DEFAULT NULL,
  max_attempts bigint DEFAULT NULL, lease_ms bigint DEFAULT NULL, unique_key text DEFAULT NULL, unique_while text DEFAULT 'unfinished',
  group_key text DEFAULT NULL, group_limit bigint DEFAULT 1, tags text[] DEFAULT '{}', idempotency_key text DEFAULT NULL,
  expires_in_ms bigint DEFAULT NULL, expires_at timestamptz DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = holdfast, pg_temp AS $$
BEGIN
  RETURN put_job($1, json_payload($2), NULL, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16);
END $$;

CREATE FUNCTION enqueue_exact(
  queue text, payload jsonb, type text DEFAULT '', priority bigint DEFAULT NULL, delay_ms bigint DEFAULT NULL, run_at timestamptz DEFAULT NULL,
  max_attempts bigint DEFAULT NULL, lease_ms bigint DEFAULT NULL, unique_key text DEFAULT NULL, unique_while text DEFAULT 'unfinished',
  group_key text DEFAULT NULL, group_limit bigint DEFAULT 1, tags text[] DEFAULT '{}', idempotency_key text DEFAULT NULL,
  expires_in_ms bigint DEFAULT NULL, expires_at timestamptz DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = holdfast, pg_temp AS $$
BEGIN
  RETURN put_job($1, json_payload($2::text), NULL, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16);
END $$;

CREATE FUNCTION enqueue_exact(
  queue text, payload bytea, content_type text DEFAULT 'application/octet-stream', type text DEFAULT '', priority bigint DEFAULT NULL,
  delay_ms bigint DEFAULT NULL, run_at timestamptz DEFAULT NULL, max_attempts bigint DEFAULT NULL, lease_ms bigint DEFAULT NULL,
  unique_key text DEFAULT NULL, unique_while text DEFAULT 'unfinished', group_key text DEFAULT NULL, group_limit bigint DEFAULT 1,
  tags text[] DEFAULT '{}', idempotency_key text DEFAULT NULL, expires_in_ms bigint DEFAULT NULL, expires_at timestamptz DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = holdfast, pg_temp AS $$
BEGIN
  RETURN put_job($1, bytes_payload($2, $3), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);
END $$;

CREATE FUNCTION enqueue(
  queue text, payload text, type text DEFAULT '', priority bigint DEFAULT NULL, delay_ms bigint DEFAULT NULL, run_at timestamptz DEFAULT NULL,
  max_attempts bigint DEFAULT NULL, lease_ms bigint DEFAULT NULL, unique_key text DEFAULT NULL, unique_while text DEFAULT 'unfinished',
  group_key text DEFAULT NULL, group_limit bigint DEFAULT 1, tags text[] DEFAULT '{}', idempotency_key text DEFAULT NULL,
  expires_in_ms bigint DEFAULT NULL, expires_at timestamptz DEFAULT NULL, options jsonb DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = holdfast, pg_temp AS $$
BEGIN
  RETURN put_job_or_inbox($1, json_payload($2), NULL, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);
END $$;

CREATE FUNCTION enqueue(
  queue text, payload jsonb, type text DEFAULT '', priority bigint DEFAULT NULL, delay_ms bigint DEFAULT NULL, run_at timestamptz DEFAULT NULL,
  max_attempts bigint DEFAULT NULL, lease_ms bigint DEFAULT NULL, unique_key text DEFAULT NULL, unique_while text DEFAULT 'unfinished',
  group_key text DEFAULT NULL, group_limit bigint DEFAULT 1, tags text[] DEFAULT '{}', idempotency_key text DEFAULT NULL,
  expires_in_ms bigint DEFAULT NULL, expires_at timestamptz DEFAULT NULL, options jsonb DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = holdfast, pg_temp AS $$
BEGIN
  RETURN put_job_or_inbox($1, json_payload($2::text), NULL, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);
END $$;

CREATE FUNCTION enqueue(
  queue text, payload bytea, content_type text DEFAULT 'application/octet-stream', type text DEFAULT '', priority bigint DEFAULT NULL,
  delay_ms bigint DEFAULT NULL, run_at timestamptz DEFAULT NULL, max_attempts bigint DEFAULT NULL, lease_ms bigint DEFAULT NULL,
  unique_key text DEFAULT NULL, unique_while text DEFAULT 'unfinished', group_key text DEFAULT NULL, group_limit bigint DEFAULT 1,
  tags text[] DEFAULT '{}', idempotency_key text DEFAULT NULL, expires_in_ms bigint DEFAULT NULL, expires_at timestamptz DEFAULT NULL,
  options jsonb DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = holdfast, pg_temp AS $$
BEGIN
  RETURN put_job_or_inbox($1, bytes_payload($2, $3), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18);
END $$;

CREATE OR REPLACE FUNCTION let_enqueue(application regrole) RETURNS void LANGUAGE plpgsql SET search_path = holdfast, pg_temp AS $$
DECLARE one regprocedure;
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA holdfast TO %s', application);
  FOR one IN SELECT oid FROM pg_proc WHERE pronamespace = 'holdfast'::regnamespace AND proname IN ('enqueue', 'enqueue_exact') LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', one, application);
  END LOOP;
END $$;

-- The functions of before have fewer arguments, so they are others: who may call them may call these. One on which something of an application
-- depends (a view, a function with a body of SQL) can't be dropped: it goes on under another name, by which it is not found, and calls the new one.
DO $$
DECLARE
  one regprocedure;
  caller text;
  callers CONSTANT text[] := ARRAY(
    SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
    FROM pg_proc p, aclexplode(p.proacl) a
    WHERE p.pronamespace = 'holdfast'::regnamespace AND p.proname = 'enqueue' AND a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner
      AND NOT 'expires_at' = ANY(p.proargnames));
  takes text;
  gives text;
BEGIN
  REVOKE ALL ON ALL FUNCTIONS IN SCHEMA holdfast FROM PUBLIC;
  FOR one IN SELECT oid FROM pg_proc WHERE pronamespace = 'holdfast'::regnamespace AND proname IN ('enqueue', 'enqueue_exact')
             AND 'expires_at' = ANY(proargnames) LOOP
    EXECUTE format('ALTER FUNCTION %s SET standard_conforming_strings = on SET bytea_output = hex SET timezone = ''UTC'''
                   ' SET datestyle = ''ISO, MDY'' SET intervalstyle = postgres', one);
    FOREACH caller IN ARRAY callers LOOP
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', one, caller);
    END LOOP;
  END LOOP;
  FOR one, takes, gives IN
    SELECT oid, pg_get_function_arguments(oid), (SELECT string_agg('$' || n, ', ' ORDER BY n) FROM generate_series(1, pronargs) n)
    FROM pg_proc WHERE pronamespace = 'holdfast'::regnamespace AND proname = 'enqueue' AND NOT 'expires_at' = ANY(proargnames)
  LOOP
    BEGIN
      EXECUTE format('DROP FUNCTION %s', one);
    EXCEPTION WHEN dependent_objects_still_exist THEN
      EXECUTE format('ALTER FUNCTION %s RENAME TO enqueue_before', one);
      EXECUTE format('CREATE OR REPLACE FUNCTION enqueue_before(%s) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = holdfast, pg_temp AS %L',
                     takes, format('BEGIN RETURN enqueue(%s); END', gives));
      IF 'PUBLIC' = ANY(callers) THEN EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', one); END IF;  -- taken away above
    END;
  END LOOP;
END $$;
