"""Values and pure functions on line counts: which lines can run, what ran, what changed."""
