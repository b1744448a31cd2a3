"""`visprep ls`."""

from __future__ import annotations

from typing import Annotated

import typer

from visprep import console
from visprep.options import (
    EndpointUrl,
    Json,
    Log,
    NoSignRequest,
    Place,
    Profile,
    Quiet,
    Region,
    Verbose,
)


def ls(
    place: Place,
    summarize: Annotated[bool, typer.Option("--summarize", help="Add the number of files and bytes.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """List the files of a place: size in bytes and path."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log):
        console.show_files(visprep.ls(place, s3=s3), as_json=json, summarize=summarize)
