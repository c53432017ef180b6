SELECT * FROM leased_job WHERE fence = ANY($1::bigint[])
