UPDATE queue q SET lows = v.lows FROM unnest($1::int[], $2::bytea[]) v(id, lows) WHERE q.id = v.id
