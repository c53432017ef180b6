UPDATE counter SET value = CASE name WHEN 'job' THEN ? ELSE ? END WHERE name IN ('job', 'fence')
