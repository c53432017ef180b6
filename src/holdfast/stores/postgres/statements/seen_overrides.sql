-- Settings overridden for roles and databases, of those that could apply in our database: role and database, NULL for all of them.
SELECT r.rolname AS role, d.datname AS database, split_part(c.entry, '=', 1) AS name,
       substr(c.entry, strpos(c.entry, '=') + 1) AS value
  FROM pg_db_role_setting s
 CROSS JOIN LATERAL unnest(s.setconfig) AS c (entry)
  LEFT JOIN pg_roles r ON r.oid = s.setrole
  LEFT JOIN pg_database d ON d.oid = s.setdatabase
 WHERE (s.setdatabase = 0 OR d.datname = current_database()) AND split_part(c.entry, '=', 1) = ANY($1::text[])
