"""`visprep rebuild`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from visprep import console, rebuild_console
from visprep.cli.application import FINDINGS
from visprep.options import (
    EndpointUrl,
    Jobs,
    Json,
    Log,
    Mirror,
    NoSignRequest,
    Profile,
    Quiet,
    Region,
    Verbose,
)


def rebuild(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="A dataset.json, on disk or on S3, or the place of one.")
    ],
    output: Annotated[
        Optional[str],  # noqa: UP045 -- typer reads the annotation at run time
        typer.Option("--output", "-o", metavar="PLACE", help="Where it is made again."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Make it, compare it, and keep nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    partly: Annotated[bool, typer.Option("--partly", help="Leave out steps that cannot be repeated.")] = False,
    origin: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--origin", metavar="NAME=PLACE", help="Where a place or file lies now; may be repeated."),
    ] = None,
    mirror: Mirror = None,
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
    """Make a dataset again from its dataset.json: exit 1 when it is not the same, byte for byte."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.rebuild(
            dataset, output, check=check, dry_run=dry_run, partly=partly, origin=origin or (), mirror=mirror,
            jobs=jobs, s3=s3, progress=screen.progress, say=screen.say,
        )  # fmt: skip
    raise typer.Exit(FINDINGS if rebuild_console.show_rebuild(screen, result, as_json=json) else 0)
