"""Who may do what: access keys, what they let see, and who calls. Pure but for the memory of a front."""
