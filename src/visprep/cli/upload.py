"""`visprep upload`."""

from __future__ import annotations

from typing import Annotated

import typer

from visprep import console
from visprep.options import (
    EndpointUrl,
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


def upload(
    place: Place,
    target: Annotated[str, typer.Argument(metavar="S3_PLACE", help="s3://bucket/prefix")],
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
    """Copy a place to S3: only what differs is sent."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.upload(place, target, jobs=jobs, s3=s3, progress=screen.progress)
    console.show_result(screen, result, as_json=json)
