"""`visprep leaks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from visprep import console, leaks_console
from visprep.cli.application import CANNOT, FINDINGS
from visprep.options import (
    EndpointUrl,
    EngineName,
    EngineOption,
    Jobs,
    Json,
    Log,
    NoSignRequest,
    Profile,
    Quiet,
    RayAddressOption,
    Region,
    Verbose,
    writable,
)


def leaks(
    places: Annotated[
        Optional[list[str]],  # noqa: UP045 -- typer reads the annotation at run time
        typer.Argument(metavar="[PLACE]...", help="A split at a place, or a place or COCO JSON file for each part."),
    ] = None,
    against: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--against", metavar="PLACE", help="Hold all of it against this place."),
    ] = None,
    certificate: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--certificate", metavar="FILE", callback=writable, help="Write what was looked at and found into FILE."
        ),
    ] = None,
    check: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--check", metavar="FILE", help="See whether a FILE of --certificate is still true."),
    ] = None,
    jobs: Jobs = None,
    engine: EngineOption = EngineName.local,
    ray_address: RayAddressOption = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Find what is in two parts of a split, or in two places: exit 1 when something is."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        found = visprep.leaks(
            places or (), against=against, certificate=certificate, check=check, jobs=jobs, engine=engine,
            ray_address=ray_address, s3=s3, say=screen.say, progress=screen.progress,
        )  # fmt: skip
    leaks_console.show_leaks(screen, found, as_json=json)
    if found.unwritten:
        raise found.unwritten
    raise typer.Exit(CANNOT if found.report.unread else FINDINGS if found.failed else 0)
