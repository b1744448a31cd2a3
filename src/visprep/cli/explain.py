"""`visprep explain`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from visprep import console
from visprep.options import (
    Json,
    Log,
    Quiet,
    Verbose,
)


def explain(
    code: Annotated[Optional[str], typer.Argument(metavar="[CODE]", help="Of a finding or an error.")] = None,  # noqa: UP045
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
) -> None:
    """Say what a finding or an error means, and what to do; without a code, list them all."""
    import visprep

    with console.screen(quiet=quiet, verbose=verbose, log=log):
        console.show_pages(visprep.explain(code), as_json=json, in_full=code is not None)
