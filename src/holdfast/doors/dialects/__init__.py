"""The APIs of older systems, over the verbs of the engine."""
