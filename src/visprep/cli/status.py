"""`visprep status`."""

from __future__ import annotations

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


def status(
    place: Place,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Tell what is done, failed and left at a place, and the command to go on."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log):
        console.show_status(visprep.status(place, s3=s3), as_json=json)
