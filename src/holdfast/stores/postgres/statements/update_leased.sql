UPDATE leased l SET extended = l.extended OR v.until > l.until, until = v.until, cancel = v.cancel
FROM unnest($1::bigint[], $2::boolean[], $3::bigint[], $4::bigint[], $5::int[]) v(until, cancel, fence, job, attempt)
WHERE l.fence = v.fence AND l.job = v.job AND l.attempt = v.attempt
