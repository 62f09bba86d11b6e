"""One module a command: what its options are, and what it calls."""
