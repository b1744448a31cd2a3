"""`visprep sync`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from visprep import console, copies_console
from visprep.options import (
    Acl,
    Compare,
    EndpointUrl,
    EngineName,
    EngineOption,
    Jobs,
    Json,
    Log,
    NoSignRequest,
    Profile,
    Quiet,
    RayAddressOption,
    Region,
    RequestPayer,
    Sse,
    SseKmsKeyId,
    StorageClass,
    Verbose,
    writable,
)


def sync(
    origin: Annotated[Optional[str], typer.Argument(metavar="ORIGIN", help="A place.")] = None,  # noqa: UP045
    target: Annotated[Optional[str], typer.Argument(metavar="TARGET", help="A place.")] = None,  # noqa: UP045
    delete: Annotated[bool, typer.Option("--delete", help="Delete what only the target has, at the end.")] = False,
    max_delete: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--max-delete", metavar="N", min=0, help="Delete so many files at most.  [default: half of the target's]"
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    include: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--include", metavar="GLOB", help="Only such paths; may be repeated."),
    ] = None,
    exclude: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--exclude", metavar="GLOB", help="No such paths; may be repeated."),
    ] = None,
    compare: Annotated[
        Compare, typer.Option("--compare", help="What makes two files count as the same.")
    ] = Compare.content,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    plan: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--plan", metavar="FILE", callback=writable, help="Only write what would be done into FILE."),
    ] = None,
    apply: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--apply", metavar="FILE", help="Do what a FILE of --plan says, if nothing changed since."),
    ] = None,
    create_bucket: Annotated[bool, typer.Option("--create-bucket", help="Make a private bucket first.")] = False,
    max_bandwidth: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--max-bandwidth", metavar="RATE", help="Bytes a second, over the network: 500K, 20M."),
    ] = None,
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
    """Make a place hold what another holds: between disk and S3, compared by content."""
    import visprep

    s3 = visprep.S3Settings(
        profile, region, endpoint_url, no_sign_request, storage_class=storage_class, sse=sse,
        sse_kms_key_id=sse_kms_key_id, acl=acl, request_payer=request_payer,
    )  # fmt: skip
    told, deletes = copies_console.Operations(dry_run, json), delete and not dry_run and not plan
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.sync(
            origin, target, delete=delete, max_delete=max_delete, include=include or (), exclude=exclude or (),
            compare=compare, dry_run=dry_run, plan=plan, apply=apply, create_bucket=create_bucket,
            max_bandwidth=max_bandwidth, jobs=jobs, engine=engine, ray_address=ray_address, s3=s3,
            confirm=copies_console.asking(deletes, yes), show=told.show, progress=screen.progress,
        )  # fmt: skip
    told.show_result(screen, result)
