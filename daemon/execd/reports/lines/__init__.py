"""What ran, line by line: tables, listings, and the files of trace, coverage.py, LCOV and Cobertura."""
