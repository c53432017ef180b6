SELECT min(until) FROM leased
