"""`visprep demo`."""

from __future__ import annotations

from visprep import console
from visprep.options import (
    DemoOutput,
    Json,
    Log,
    Quiet,
    Verbose,
)


def demo(
    output: DemoOutput = None, json: Json = False, quiet: Quiet = False, verbose: Verbose = 0, log: Log = None
) -> None:
    """Walk the whole road, offline, on the embedded sample."""
    import visprep

    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.demo(output, progress=screen.progress, say=screen.say)
        screen.close()
    if json:
        console.out_json({"steps": [dict(zip(("name", "made", "place"), row, strict=True)) for row in result.rows]})
    else:
        console.table(("Step", "What was made", "Where"), result.rows)
