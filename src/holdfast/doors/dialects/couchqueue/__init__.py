"""CouchQueue's vocabulary: tasks that go to every interested queue, and workers that take from theirs in order of preference."""
