"""The values that execd works with, and the pure functions on them. Standard library only, no input or output."""
