SELECT 1 FROM leased WHERE fence = $1 AND extended
