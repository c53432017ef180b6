-- One more part of a run that has an entry. A part in which nothing was done does not set the outcome of the run.
UPDATE audit SET outcome = CASE WHEN ?2 = 0 AND ?3 > 0 AND done > 0 THEN outcome ELSE ?1 END, done = done + ?2, refused = refused + ?3
WHERE run = ?4
