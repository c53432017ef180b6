UPDATE budget SET blocked_until = min(blocked_until, ?1) WHERE blocked_until > ?1
