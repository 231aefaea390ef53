"""The attach: the only code of the daemon that touches a foreign process."""
