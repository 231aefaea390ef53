"""Events one after another, in the words of the standard library's trace."""
