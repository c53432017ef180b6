SELECT 1 FROM leased WHERE fence = ? AND extended
