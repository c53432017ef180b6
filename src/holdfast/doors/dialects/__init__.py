"""The vocabularies of the systems that came before, over the verbs of the engine."""
