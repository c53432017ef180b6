-- Our role, the database, whether we may see this server's standbys, and whether the schema is there or we may make it.
SELECT current_user AS role, current_database() AS database, pg_is_in_recovery() AS in_recovery, pg_backend_pid() AS pid,
       current_setting('server_encoding') AS encoding,
       -- A superuser has every role but is a member of none.
       pg_has_role(current_user, 'pg_monitor', 'USAGE') OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_standbys,
       EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'Patroni%') AS patroni,
       has_database_privilege(current_database(), 'CREATE') OR EXISTS (
         SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'holdfast' AND c.relname = 'schema_version'
       ) AS makes_schema
