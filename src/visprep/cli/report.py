"""`visprep report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from visprep import console
from visprep.options import (
    LAYOUT_HELP,
    Depth,
    EndpointUrl,
    Jobs,
    Json,
    Log,
    NoSignRequest,
    PlaceOrFile,
    Profile,
    Quiet,
    Region,
    Verbose,
    writable,
)


def report(
    place: PlaceOrFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", callback=writable, help="The page, FILE.html.")
    ],
    sample: Annotated[int, typer.Option("--sample", metavar="N", min=0, help="So many records are shown.")] = 500,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Another one shows others.")] = 0,
    findings: Annotated[
        Optional[Path],  # noqa: UP045 -- typer reads the annotation at run time
        typer.Option("--findings", metavar="FILE", help="A JSON report of verify, in place of another look."),
    ] = None,
    depth: Annotated[
        Depth | None,
        typer.Option("--depth", help="How closely to verify.  [default: headers, on S3 without a manifest sizes]"),
    ] = None,
    layout: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--layout", metavar="NAME", help=f"{LAYOUT_HELP}  [default: template]"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is no such page.")] = False,
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
    """Show a place on one HTML page: facts, findings, and pictures with what is annotated."""
    import visprep
    from visprep import report_console

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        made = visprep.report(
            place, output=output, sample=sample, seed=seed, findings=findings, depth=depth, layout=layout,
            overwrite=overwrite, jobs=jobs, s3=s3, progress=screen.progress,
        )  # fmt: skip
    report_console.show_page(made, as_json=json)
