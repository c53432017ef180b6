"""All that crosses from a front to the side of the store: commands, queries, events, and their answers."""
