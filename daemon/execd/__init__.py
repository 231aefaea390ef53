"""The daemon: attaches to running CPython processes, keeps what it measured and serves reports."""

__version__ = "0.1.0"
