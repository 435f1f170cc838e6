"""The names of what can be chosen in method/, for the command line, which loads no NumPy."""

PRIORS = ("normal", "group-normal-jeffreys")  # probe.py
SUBSPACES = ("probe", "standard-row", "class-means", "principal-components", "random",
             "random-from-states")  # subspace.py; a test compares
