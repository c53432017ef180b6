DELETE FROM job d USING unnest($1::bigint[]) v(id) WHERE d.id = v.id
