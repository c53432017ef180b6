SELECT count(*) FROM operation WHERE ended_at IS NULL
