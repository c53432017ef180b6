INSERT INTO progress(job, value) VALUES (?, ?) ON CONFLICT (job) DO UPDATE SET value = excluded.value
