"""Imports: files of the standard library's modules, read as what a stranger wrote; nothing in them is ever run."""
