WITH changed AS (UPDATE leased SET until = $1 WHERE until > $1 RETURNING 1) SELECT count(*) FROM changed
