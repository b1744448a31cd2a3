"""`visprep fix`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from visprep import console, copies_console
from visprep.cli.application import FINDINGS
from visprep.options import (
    EndpointUrl,
    FixHow,
    Jobs,
    Json,
    Log,
    NoSignRequest,
    Place,
    Profile,
    Quiet,
    Region,
    Verbose,
)


def fix(
    place: Place,
    how: Annotated[Optional[FixHow], typer.Option("--how", help="Put bad images aside, or fetch them again.")] = None,  # noqa: UP045
    undo: Annotated[bool, typer.Option("--undo", help="Put back what was put aside.")] = False,
    mirror: Annotated[
        str, typer.Option("--mirror", metavar="URL[,URL]", help="Fetch from there, not from the known addresses.")
    ] = "",
    jobs: Jobs = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Put bad images of COCO or Open Images aside, or fetch them again: exit 1 when other errors are left."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.fix(place, how, undo=undo, mirror=mirror, jobs=jobs, s3=s3, progress=screen.progress)
    copies_console.show_fix(screen, result, as_json=json)
    raise typer.Exit(FINDINGS if result.left else 0)
