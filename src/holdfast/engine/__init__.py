"""The front: the verbs, the bounds of what comes in, waiting, publishing and streams."""
