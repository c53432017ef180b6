-- What keeps dead rows from being removed, the oldest first, with an age in transactions and, if known, in seconds.
SELECT who, age, seconds
  FROM (SELECT format('session %s of %s (%s)', pid, coalesce(usename, '?'), coalesce(nullif(application_name, ''), backend_type)) AS who,
               greatest(age(backend_xmin), age(backend_xid)) AS age, extract(epoch FROM now() - xact_start)::bigint AS seconds
          FROM pg_stat_activity
         WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND pid <> pg_backend_pid()
           AND backend_type NOT IN ('walsender', 'autovacuum worker')
        UNION ALL
        SELECT format('standby %s, by hot_standby_feedback', application_name), age(backend_xmin), NULL
          FROM pg_stat_replication WHERE backend_xmin IS NOT NULL
        UNION ALL
        SELECT format('slot %s', slot_name), greatest(age(xmin), age(catalog_xmin)), NULL
          FROM pg_replication_slots WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL
        UNION ALL
        SELECT format('prepared transaction %s', gid), age(transaction), extract(epoch FROM now() - prepared)::bigint
          FROM pg_prepared_xacts) held
 ORDER BY age DESC NULLS LAST LIMIT 5
