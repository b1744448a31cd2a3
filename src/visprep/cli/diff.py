"""`visprep diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from visprep import console, diff_console
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
    writable,
)


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A place, or a COCO JSON file.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    iou: Annotated[
        float,
        typer.Option("--iou", metavar="SHARE", help="Overlap from which boxes with other ids may be the same."),
    ] = 0.5,
    format: Annotated[DiffFormat, typer.Option("--format", help="How to report.")] = DiffFormat.text,
    report: Annotated[
        Optional[Path],  # noqa: UP045 -- typer reads the annotation at run time
        typer.Option("--report", metavar="FILE", callback=writable, help="Write the report there."),
    ] = None,
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
    """Compare two places: files, images, annotations, splits, prompts. Exit 1 when they differ."""
    import visprep

    console.check_outside(report, a, b)
    chosen = console.one_format(format, json)
    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        found = visprep.diff(a, b, iou=iou, jobs=jobs, s3=s3, progress=screen.progress)
        differ = diff_console.show_differences(found, a, b, chosen, screen.say, report, s3)
    raise typer.Exit(FINDINGS if differ else 0)
