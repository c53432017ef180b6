DELETE FROM leased d USING unnest($1::bigint[], $2::bigint[], $3::int[]) v(fence, job, attempt) WHERE d.fence = v.fence AND d.job = v.job AND d.attempt = v.attempt
