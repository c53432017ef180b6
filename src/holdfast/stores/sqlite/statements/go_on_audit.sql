-- One more part of what has an entry already. A part of which nothing was done does not say how all of it went.
UPDATE audit SET outcome = CASE WHEN ?2 = 0 AND ?3 > 0 AND done > 0 THEN outcome ELSE ?1 END, done = done + ?2, refused = refused + ?3
WHERE run = ?4
