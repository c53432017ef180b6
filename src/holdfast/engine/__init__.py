"""The verbs, and the order in which things happen: limits, routing, group commit, long polls, periodic work, and the read side."""
