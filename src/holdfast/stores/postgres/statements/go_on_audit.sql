-- Add another command to the entry of its run. If it was only refused, the outcome stays that of what the run has done.
UPDATE audit SET outcome = CASE WHEN $2 = 0 AND $3 > 0 AND done > 0 THEN outcome ELSE $1 END, done = done + $2, refused = refused + $3
WHERE run = $4
