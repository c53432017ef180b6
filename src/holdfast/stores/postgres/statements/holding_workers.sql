SELECT DISTINCT worker FROM leased WHERE worker <> '' AND worker = ANY($1::text[])
