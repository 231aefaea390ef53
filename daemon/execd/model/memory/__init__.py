"""Values and pure functions on traced blocks: filters, statistics, figures of the process."""
