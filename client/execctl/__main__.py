"""`python -m execctl`."""

from execctl.cli import main

if __name__ == "__main__":
    main()
