-- A registered worker, and since when.
SELECT id, registered_at FROM worker WHERE id = ?
