-- How many fair keys have jobs waiting, by queue: at each priority.
SELECT q.name, CAST(sum(c.lines) AS bigint) FROM fair_clock c JOIN queue q ON q.id = c.queue GROUP BY q.name
