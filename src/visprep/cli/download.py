"""`visprep download`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from visprep import console
from visprep.options import (
    EndpointUrl,
    Jobs,
    Json,
    Layout,
    Log,
    NoSignRequest,
    Output,
    Profile,
    Quiet,
    Region,
    Verbose,
)


def download(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A source (`visprep sources`) or a place.")],
    output: Output = None,
    split: Annotated[str, typer.Option("--split", metavar="S[,S]", help="Upstream's splits.")] = "",
    limit: Annotated[Optional[int], typer.Option("--limit", metavar="N", help="Tasks of each split.")] = None,  # noqa: UP045
    config: Annotated[str, typer.Option("--config", metavar="NAME[,NAME]", help="Upstream's configs.")] = "",
    layout: Layout = "template",
    revision: Annotated[Optional[str], typer.Option("--revision", metavar="REV", help="Upstream's commit.")] = None,  # noqa: UP045
    map: Annotated[
        str, typer.Option("--map", metavar="FIELD=COLUMN[,...]", help="Which column is what, for hf: sources.")
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of others too.")] = False,
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
    """Download a source, or copy a place, to disk or to S3."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.download(
            source, output, split=split, limit=limit, config=config, layout=layout, revision=revision, map=map,
            overwrite=overwrite, jobs=jobs, s3=s3, progress=screen.progress,
        )  # fmt: skip
    console.show_result(screen, result, as_json=json)
