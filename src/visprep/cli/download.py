"""`visprep download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from visprep import console, copies_console
from visprep.options import (
    Checksums,
    Classes,
    Config,
    EndpointUrl,
    EngineName,
    EngineOption,
    Jobs,
    Json,
    Labels,
    Layout,
    Licenses,
    Limit,
    Log,
    Map,
    Mirror,
    NoSignRequest,
    Output,
    Profile,
    Quiet,
    RayAddressOption,
    Region,
    Revision,
    Source,
    UpstreamSplit,
    Verbose,
)


def download(
    source: Source,
    output: Output = None,
    split: UpstreamSplit = None,
    limit: Limit = None,
    labels: Labels = None,
    classes: Classes = None,
    ids: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--ids", metavar="FILE", help="These images, one a line (coco, open-images)."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Draw the images of --limit by this number."),
    ] = None,
    licenses: Licenses = None,
    only_matching: Annotated[
        bool, typer.Option("--only-matching", help="Leave out annotations of other classes.")
    ] = False,
    config: Config = None,
    layout: Layout = "template",
    revision: Revision = None,
    map: Map = "",
    mirror: Mirror = None,
    checksums: Checksums = None,
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="Keep the zip files too (coco).")] = False,
    via: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--via", metavar="ROAD", help="How images of open-images come: s3, http, tar or fiftyone.  [default: s3]"
        ),
    ] = None,
    original: Annotated[
        bool, typer.Option("--original", help="The authors' own files, from Flickr (open-images).")
    ] = False,
    expand_hierarchy: Annotated[
        bool, typer.Option("--expand-hierarchy", help="Classes below --classes, too (open-images).")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that visprep did not write, too.")
    ] = False,
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
    """Download a source, or copy a place, to disk or to S3."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.download(
            source, output, split=split, limit=limit, labels=labels, classes=classes, ids=ids, seed=seed,
            licenses=licenses, only_matching=only_matching, config=config, layout=layout, revision=revision, map=map,
            mirror=mirror, checksums=checksums, keep_archives=keep_archives, via=via, original=original,
            expand_hierarchy=expand_hierarchy, dry_run=dry_run, overwrite=overwrite, jobs=jobs, engine=engine,
            ray_address=ray_address, s3=s3, progress=screen.progress,
        )  # fmt: skip
    copies_console.show_download(screen, result, as_json=json)
