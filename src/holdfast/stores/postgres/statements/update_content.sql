UPDATE job j SET type = v.type, content_type = v.content_type, payload = v.payload
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[]) v(type, content_type, payload, id) WHERE j.id = v.id
