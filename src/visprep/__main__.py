"""`python -m visprep`."""

from visprep.cli import main

if __name__ == "__main__":
    main()
