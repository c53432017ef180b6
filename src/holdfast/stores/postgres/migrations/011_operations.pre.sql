-- Operations: bulk work by the server. One row each, with how far it is: written in the transaction of its changes.
--
-- Nodes of the release before never read it, and take no part: they see jobs that were changed as by any other call.

CREATE TABLE operation(
  id bigint PRIMARY KEY,                    -- one of the numbers of jobs: the jobs that it is about have smaller ones
  state text NOT NULL,                      -- running, paused, done or cancelled
  ended_at bigint,                          -- NULL: it has not ended
  value text NOT NULL                       -- JSON: the fields of an operation without a column of their own
) WITH (fillfactor = 50);
CREATE INDEX operation_unfinished ON operation(id) WHERE ended_at IS NULL;

-- Whether a payload, which is JSON, has each of the values at its path. What no text can hold, such as a zero character, is looked at as another one.
CREATE FUNCTION payload_has(payload bytea, wanted json) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
  document json;
  one json;
  part text;
  here json;
BEGIN
  document := replace(convert_from(payload, 'UTF8'), '\u0000', '\ufffd')::json;
  FOR one IN SELECT value FROM json_array_elements(wanted) LOOP
    here := document;
    FOR part IN SELECT value FROM json_array_elements_text(one -> 'path') LOOP
      here := CASE json_typeof(here)
        WHEN 'object' THEN here -> part
        WHEN 'array' THEN CASE WHEN part ~ '^[0-9]{1,9}$' THEN here -> part::int END
      END;
    END LOOP;
    IF here IS NULL OR json_typeof(here) IN ('object', 'array') THEN RETURN false; END IF;
    IF coalesce(here #>> '{}', 'null') <> one ->> 'value' THEN RETURN false; END IF;
  END LOOP;
  RETURN true;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN false;  -- it is damaged, and no JSON any more
END $$;
REVOKE ALL ON FUNCTION payload_has(bytea, json) FROM PUBLIC;
