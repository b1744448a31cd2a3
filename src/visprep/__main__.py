"""`python -m visprep`, and the command `visprep`: a Ctrl-C while all is loaded still ends in words."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Load the command line, run it and exit."""
    try:
        from visprep.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("\nvisprep: interrupted; nothing was changed\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
