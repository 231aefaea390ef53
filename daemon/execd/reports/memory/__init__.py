"""What is allocated: tables, comparisons, and the files of tracemalloc."""
