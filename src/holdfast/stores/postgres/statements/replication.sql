-- The state of the standbys for operators; `grown` and `uncounted`: see uncounted.py. Bytes behind: of the slowest synchronous standby.
SELECT current_setting('synchronous_standby_names') AS names,
       (SELECT array_agg(application_name) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state <> 'async' AND replay_lsn IS NOT NULL) AS voters,
       (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming') AS streaming,
       (SELECT max(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn))::bigint FROM pg_stat_replication
          WHERE state = 'streaming' AND sync_state <> 'async' AND replay_lsn IS NOT NULL) AS lag_bytes,
       t.grown, t.uncounted, pg_database_size(current_database()) AS bytes
FROM (SELECT array_agg(quote_ident(c.relname)) FILTER (WHERE pg_stat_get_live_tuples(c.oid) > greatest(1000, 10 * c.reltuples)) AS grown,
             array_agg(quote_ident(c.relname)) FILTER (WHERE c.reltuples < 2
               AND (greatest(c.relpages, pg_relation_size(c.oid) / 8192) > 8 OR (c.reltuples = 0 AND c.relpages > 0))) AS uncounted
      FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
      WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = to_regnamespace('holdfast') AND d.classid = 'pg_class'::regclass
        AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE')) t
