"""Keeping rows. A store knows no rules: it writes what was decided and reads what is asked."""
