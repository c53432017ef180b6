UPDATE audit_tally SET kept = kept - ?1, bytes = bytes - ?2, removed = removed + ?1
