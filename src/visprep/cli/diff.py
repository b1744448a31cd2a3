"""`visprep diff`."""

from __future__ import annotations

from typing import Annotated

import typer

from visprep import console, copies_console
from visprep.cli.application import FINDINGS
from visprep.options import (
    DiffFormat,
    EndpointUrl,
    Jobs,
    Json,
    Log,
    NoSignRequest,
    Profile,
    Quiet,
    Region,
    Verbose,
)


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A place.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another place.")],
    format: Annotated[DiffFormat, typer.Option("--format", help="How to report.")] = DiffFormat.text,
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
    """Compare the files of two places by content: exit 1 when they differ."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        found = visprep.diff(a, b, jobs=jobs, s3=s3, progress=screen.progress)
        differ = copies_console.show_differences(found, as_json=json or format is DiffFormat.json)
    raise typer.Exit(FINDINGS if differ else 0)
