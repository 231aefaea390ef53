"""What was measured, kept on disk: the only importer of sqlite3."""
