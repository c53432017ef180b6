DELETE FROM ended d USING unnest($1::bigint[], $2::text[]) v(job, state) WHERE d.job = v.job AND (d.state = v.state OR d.state NOT IN ('concluded', 'dead', 'cancelled'))
