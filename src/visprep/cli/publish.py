"""`visprep publish`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from visprep import console, publish_console
from visprep.options import (
    Acl,
    EndpointUrl,
    Jobs,
    Json,
    Log,
    NoSignRequest,
    Profile,
    Quiet,
    Region,
    RequestPayer,
    Sse,
    SseKmsKeyId,
    StorageClass,
    Verbose,
)


def publish(
    place: Annotated[Optional[str], typer.Argument(metavar="PLACE", help="A place.")] = None,  # noqa: UP045
    target: Annotated[Optional[str], typer.Argument(metavar="S3_PLACE", help="s3://bucket/prefix")] = None,  # noqa: UP045
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back to the version before.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Delete what only old versions need.")] = False,
    older_than: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--older-than",
            metavar="AGE",
            help="With --prune: only versions that were replaced so long ago.  [default: 7d]",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    storage_class: StorageClass = None,
    sse: Sse = None,
    sse_kms_key_id: SseKmsKeyId = None,
    acl: Acl = None,
    request_payer: RequestPayer = False,
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
    """Publish a place on S3: who reads it, or trains from it, sees one version whole."""
    import visprep

    s3 = visprep.S3Settings(
        profile, region, endpoint_url, no_sign_request, storage_class=storage_class, sse=sse,
        sse_kms_key_id=sse_kms_key_id, acl=acl, request_payer=request_payer,
    )  # fmt: skip
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.publish(
            place, target, rollback=rollback, prune=prune, older_than=older_than, dry_run=dry_run, jobs=jobs, s3=s3,
            progress=screen.progress,
        )  # fmt: skip
    publish_console.show_result(screen, result, as_json=json)
