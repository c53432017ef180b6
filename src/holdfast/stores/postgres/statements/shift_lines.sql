-- Count the virtual time of one priority anew: $3 is what is taken off.
UPDATE fair_line SET turn = greatest(0, turn - $3) WHERE queue = $1 AND priority = $2
