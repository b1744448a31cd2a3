"""`visprep split`."""

from __future__ import annotations

import typer

from visprep import console, split_console
from visprep.cli.application import FINDINGS
from visprep.options import (
    Clean,
    DropEmpty,
    EndpointUrl,
    EngineName,
    EngineOption,
    Extend,
    GroupBy,
    How,
    Jobs,
    Json,
    Log,
    Method,
    NearDuplicates,
    NoSignRequest,
    Parts,
    PlacesOrFiles,
    Prefix,
    Profile,
    Quiet,
    RayAddressOption,
    Region,
    Seed,
    SplitHow,
    SplitOutput,
    Stratify,
    TaskLayout,
    Verbose,
)


def split(
    place: PlacesOrFiles,
    output: SplitOutput = None,
    parts: Parts = "",
    seed: Seed = 0,
    method: Method = None,
    extend: Extend = None,
    stratify: Stratify = False,
    group_by: GroupBy = None,
    near_duplicates: NearDuplicates = False,
    clean: Clean = False,
    drop_empty: DropEmpty = False,
    name: Prefix = None,
    how: How = SplitHow.ids,
    layout: TaskLayout = None,
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
    """Split records into parts that do not leak, and that grow without moving anything: exit 1 when they do leak."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.split(
            place, output=output, parts=parts, seed=seed, method=method, extend=extend, stratify=stratify,
            group_by=group_by, near_duplicates=near_duplicates, clean=clean, drop_empty=drop_empty, name=name, how=how,
            layout=layout, jobs=jobs, engine=engine, ray_address=ray_address, s3=s3, progress=screen.progress,
        )  # fmt: skip
    split_console.show_split(screen, result, as_json=json)
    raise typer.Exit(FINDINGS if result.failed else 0)
