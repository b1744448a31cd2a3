"""`visprep upload`."""

from __future__ import annotations

from typing import Annotated

import typer

from visprep import console, copies_console
from visprep.options import (
    Acl,
    EndpointUrl,
    EngineName,
    EngineOption,
    Jobs,
    Json,
    Log,
    NoSignRequest,
    Place,
    Profile,
    Quiet,
    RayAddressOption,
    Region,
    RequestPayer,
    Sse,
    SseKmsKeyId,
    StorageClass,
    Verbose,
)


def upload(
    place: Place,
    target: Annotated[str, typer.Argument(metavar="S3_PLACE", help="s3://bucket/prefix")],
    storage_class: StorageClass = None,
    sse: Sse = None,
    sse_kms_key_id: SseKmsKeyId = None,
    acl: Acl = None,
    request_payer: RequestPayer = False,
    jobs: Jobs = None,
    engine: EngineOption = EngineName.local,
    ray_address: RayAddressOption = None,
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

    s3 = visprep.S3Settings(
        profile, region, endpoint_url, no_sign_request, storage_class=storage_class, sse=sse,
        sse_kms_key_id=sse_kms_key_id, acl=acl, request_payer=request_payer,
    )  # fmt: skip
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.upload(
            place, target, jobs=jobs, engine=engine, ray_address=ray_address, s3=s3, progress=screen.progress
        )
    copies_console.show_result(screen, result, as_json=json)
