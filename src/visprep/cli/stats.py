"""`visprep stats`."""

from __future__ import annotations

from typing import Annotated

import typer

from visprep import console, stats_console
from visprep.options import (
    EndpointUrl,
    Jobs,
    Json,
    Log,
    NoSignRequest,
    PlaceOrFile,
    Profile,
    Quiet,
    Region,
    TaskLayout,
    Verbose,
)


def stats(
    place: PlaceOrFile,
    layout: TaskLayout = None,
    pixels: Annotated[
        str, typer.Option("--pixels", metavar="N", help="Images to look into for modes and duplicates: N, all, none.")
    ] = "500",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Another one draws other images.")] = 0,
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
    """Count what there is at a place, or in a COCO JSON file: classes, sizes, boxes, prompts, duplicates."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        found = visprep.stats(
            place, layout=layout, pixels=pixels, seed=seed, jobs=jobs, s3=s3, progress=screen.progress
        )
    stats_console.show_stats(found, as_json=json)
