-- Of the next entries before an id, up to a limit: the lowest id, and how many there are.
SELECT min(id), count(*) FROM (SELECT id FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2) stretch
