"""`visprep gather`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from visprep import console, gather_console
from visprep.cli.application import CANNOT, FINDINGS
from visprep.options import (
    Checksums,
    Classes,
    Clean,
    Config,
    Depth,
    DropEmpty,
    EndpointUrl,
    EngineName,
    EngineOption,
    Extend,
    GroupBy,
    How,
    Jobs,
    Json,
    Labels,
    Layout,
    Licenses,
    Limit,
    Log,
    Map,
    Method,
    Mirror,
    NearDuplicates,
    NoSignRequest,
    Output,
    Parts,
    Prefix,
    Profile,
    Quiet,
    RayAddressOption,
    Region,
    Revision,
    Source,
    SplitHow,
    Stratify,
    UpstreamSplit,
    Verbose,
)


def gather(
    source: Source,
    parts: Parts,
    output: Output = None,
    splits: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--splits", metavar="PLACE", envvar="SPLITS_DIR", help="Where the parts go.  [default: data/cleaned_splits]"
        ),
    ] = None,
    name: Prefix = None,
    skip_download: Annotated[
        bool,
        typer.Option(
            "--skip-download", help="Take what lies at --output already; where SOURCE is a place, that place itself."
        ),
    ] = False,
    split: UpstreamSplit = None,
    limit: Limit = None,
    labels: Labels = None,
    classes: Classes = None,
    licenses: Licenses = None,
    config: Config = None,
    layout: Layout = "template",
    revision: Revision = None,
    map: Map = "",
    mirror: Mirror = None,
    checksums: Checksums = None,
    via: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--via", metavar="ROAD", help="How images come, as for download."),
    ] = None,
    depth: Annotated[
        Depth | None, typer.Option("--depth", help="How closely verify looks.  [default: decode, on S3 headers]")
    ] = None,
    seed: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--seed", metavar="N", help="Another one draws other parts, and those of --limit.  [default: 0]"),
    ] = None,
    method: Method = None,
    stratify: Stratify = False,
    group_by: GroupBy = None,
    near_duplicates: NearDuplicates = False,
    extend: Extend = None,
    clean: Clean = False,
    drop_empty: DropEmpty = False,
    how: How = SplitHow.ids,
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
    """Download a source, verify it, and split it into parts: exit 1 where one of the last two finds errors."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.gather(
            source, output, parts=parts, splits=splits, name=name, skip_download=skip_download, split=split,
            limit=limit, labels=labels, classes=classes, licenses=licenses, config=config, layout=layout,
            revision=revision, map=map, mirror=mirror, checksums=checksums, via=via, depth=depth, seed=seed,
            method=method, stratify=stratify, group_by=group_by, near_duplicates=near_duplicates, extend=extend,
            clean=clean, drop_empty=drop_empty, how=how, jobs=jobs, engine=engine, ray_address=ray_address, s3=s3,
            progress=screen.progress, say=screen.say,
        )  # fmt: skip
    gather_console.show_gather(screen, result, as_json=json)
    raise typer.Exit(CANNOT if result.unread else FINDINGS if result.stopped else 0)
