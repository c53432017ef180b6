"""Persistence. A store has no rules: it writes what was decided and reads what is queried."""
