"""`visprep convert`."""

from __future__ import annotations

from typing import Annotated

import typer

from visprep import console, convert_console
from visprep.options import ConvertTo, Jobs, Json, Log, Quiet, Verbose


def convert(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="A directory that another tool left.")],
    to: Annotated[ConvertTo, typer.Option("--to", help="What is made of it.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="PLACE", help="Where it goes.")],
    jobs: Jobs = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
) -> None:
    """Make a COCO dataset of Open Images that another tool downloaded."""
    import visprep

    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.convert(place, to=to, output=output, jobs=jobs, progress=screen.progress)
    convert_console.show_convert(screen, result, as_json=json)
