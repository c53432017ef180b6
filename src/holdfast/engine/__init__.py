"""The front: verbs, bounds on input, waiting, publishing and streams."""
