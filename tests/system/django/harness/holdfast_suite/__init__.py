"""What tests of other backends find in place of theirs: backends that enqueue on a real server, run by a real worker."""
