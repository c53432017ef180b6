-- The queues of due schedules; NULL: the interested queues.
SELECT queue FROM schedule WHERE NOT paused AND try_at <= $1 ORDER BY try_at LIMIT $2
