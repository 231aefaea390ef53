"""A live table of where a process spends its time. What is shown is worked out; `terminal.py` alone knows curses."""
