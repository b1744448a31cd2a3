"""`visprep doctor`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from visprep import console
from visprep.cli.application import CANNOT
from visprep.options import (
    EndpointUrl,
    Json,
    Log,
    NoSignRequest,
    Profile,
    Quiet,
    Region,
    Verbose,
)


def doctor(
    place: Annotated[Optional[str], typer.Argument(metavar="[PLACE]", help="A place to look at too.")] = None,  # noqa: UP045
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Check this machine, and a place: exit 3 when the place cannot be used."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log):
        checkup = visprep.doctor(place, s3=s3)
    console.show_checkup(checkup, as_json=json)
    raise typer.Exit(0 if checkup.usable else CANNOT)
