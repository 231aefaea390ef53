"""The browser of statistics: the verbs of `python -m pstats`, on what the daemon has."""
