SELECT last, kept, bytes, removed FROM audit_tally
