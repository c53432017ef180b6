"""`holdfast …`: the command line."""
