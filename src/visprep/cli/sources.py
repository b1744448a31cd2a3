"""`visprep sources`."""

from __future__ import annotations

from visprep import console
from visprep.options import (
    Json,
    Log,
    Quiet,
    Verbose,
)


def sources(json: Json = False, quiet: Quiet = False, verbose: Verbose = 0, log: Log = None) -> None:
    """List what can be downloaded: splits, counts, licenses."""
    import visprep

    with console.screen(quiet=quiet, verbose=verbose, log=log):
        console.show_sources(visprep.list_sources(), as_json=json)
