WITH changed AS (UPDATE leased SET until = $1::bigint WHERE until > $1::bigint RETURNING 1) SELECT count(*) FROM changed
