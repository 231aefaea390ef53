"""The events of a running trace: taken from the target, kept in a bounded log, fed to who follows."""
