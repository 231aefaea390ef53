"""The core of the daemon: targets with an agent in them, and the sessions that run there."""
