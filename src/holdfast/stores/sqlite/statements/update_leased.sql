UPDATE leased SET extended = extended OR ?1 > until, until = ?1, cancel = ?2 WHERE fence = ?3 AND job = ?4 AND attempt = ?5
