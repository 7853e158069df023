"""The command line. Results go to stdout, everything else to stderr; exit 0, 1 (the user's mistake), 2 (ours)."""
