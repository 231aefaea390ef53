"""Imports: files of other tools, read as what a stranger wrote; nothing in them is ever run."""
