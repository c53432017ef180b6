-- Weights of fair keys of all queues.
SELECT q.name, w.fair, w.weight FROM fair_weight w JOIN queue q ON q.id = w.queue ORDER BY q.name, w.fair
