"""Stacks of a running target, read from outside: what lies where, and what it says."""
