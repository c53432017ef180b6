-- How far back a stretch of so many entries goes, and how many there are.
SELECT min(id), count(*) FROM (SELECT id FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2) stretch
