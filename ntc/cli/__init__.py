"""The command line. Results go to stdout, everything else to stderr; exit 0, 1 (the user's mistake), 2 (ours).

What needs JAX is imported by the commands when they run: it takes a second, and `ntc show` does not need it.
"""
