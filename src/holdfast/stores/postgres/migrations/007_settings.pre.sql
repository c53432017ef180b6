-- `holdfast.enqueue` does and stores the same whatever the session of the application has set. The hash that recognizes a repeated call contains times
-- and bytes as text (TimeZone, bytea_output), and patterns have backslashes (standard_conforming_strings).
--
-- If a search path does not name pg_temp, types are looked up there first: a caller could create a temporary type `oid`, `take` used it, and the
-- checks of that type ran as the owner. `let_enqueue` is called by the owner, whose own path may name a schema that others can write to.

ALTER FUNCTION take(regclass, bigint) SET search_path = holdfast, pg_temp;
ALTER FUNCTION give_back(regclass, bigint, bigint) SET search_path = holdfast, pg_temp;
ALTER FUNCTION let_enqueue(regrole) SET search_path = holdfast, pg_temp;

-- A content type is lower-cased by ASCII, because some locales of a database have another lower case of I.
CREATE OR REPLACE FUNCTION enqueue(
  queue text, payload bytea, content_type text DEFAULT 'application/octet-stream', type text DEFAULT '', priority bigint DEFAULT NULL, delay_ms bigint DEFAULT NULL, run_at timestamptz DEFAULT NULL,
  max_attempts bigint DEFAULT NULL, lease_ms bigint DEFAULT NULL, unique_key text DEFAULT NULL, unique_while text DEFAULT 'unfinished',
  group_key text DEFAULT NULL, group_limit bigint DEFAULT 1, tags text[] DEFAULT '{}', idempotency_key text DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = holdfast, pg_temp AS $$
BEGIN
  IF payload IS NULL THEN PERFORM breach('payload', 'must be given'); END IF;
  IF content_type IS NULL OR lower(trim(split_part(content_type, ';', 1)) COLLATE "C") SIMILAR TO '(application/json|%\+json|)' THEN
    PERFORM breach('content_type', 'must not be JSON: give the payload as jsonb or text');
  END IF;
  RETURN put_job(queue, payload, content_type, type, priority, delay_ms, run_at, max_attempts, lease_ms, unique_key, unique_while,
                 group_key, group_limit, tags, idempotency_key);
END $$;

DO $$
DECLARE one regprocedure;
BEGIN
  FOR one IN SELECT oid FROM pg_proc WHERE pronamespace = 'holdfast'::regnamespace AND proname = 'enqueue' LOOP
    EXECUTE format('ALTER FUNCTION %s SET standard_conforming_strings = on SET bytea_output = hex SET timezone = ''UTC'''
                   ' SET datestyle = ''ISO, MDY'' SET intervalstyle = postgres', one);
  END LOOP;
END $$;
