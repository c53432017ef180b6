-- Where the jobs of the schedules go that are due; NULL: to whoever is interested.
SELECT queue FROM schedule WHERE NOT paused AND try_at <= $1 ORDER BY try_at LIMIT $2
