"""Reports of samples: stacks that were looked at, as other tools count them."""
