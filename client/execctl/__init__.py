"""The command line of execd: parse, one call to the daemon, print. Knows the daemon by its contract alone."""

__version__ = "0.1.0"
