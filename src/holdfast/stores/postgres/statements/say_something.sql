-- A commit that writes nothing does not wait for standbys; this makes it write.
SELECT pg_logical_emit_message(true, 'holdfast', '')
