-- Which of these queues can be locked now; the transaction is rolled back.
SELECT id FROM queue WHERE id = ANY($1::int[]) ORDER BY id FOR UPDATE SKIP LOCKED
