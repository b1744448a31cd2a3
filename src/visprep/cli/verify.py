"""`visprep verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from visprep import configuration, console
from visprep.cli.application import CANNOT, FINDINGS
from visprep.options import (
    LAYOUT_HELP,
    Depth,
    EndpointUrl,
    EngineName,
    EngineOption,
    FailOn,
    Jobs,
    Json,
    Log,
    NoSignRequest,
    PlaceFormat,
    PlaceOrFile,
    Profile,
    Quiet,
    RayAddressOption,
    Region,
    ReportFormat,
    Use,
    Verbose,
    writable,
)


def verify(
    place: PlaceOrFile,
    as_: Annotated[PlaceFormat | None, typer.Option("--as", help="Its format; guessed when left out.")] = None,
    depth: Annotated[
        Depth | None, typer.Option("--depth", help="How closely to look.  [default: decode, on S3 headers]")
    ] = None,
    layout: Annotated[
        Optional[str],  # noqa: UP045 -- None: not given, so the project's
        typer.Option("--layout", metavar="NAME", help=f"{LAYOUT_HELP}  [default: template]"),
    ] = None,
    expect: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--expect", metavar="FILE", help="Compare the counts with these: official, or a file."),
    ] = None,
    against: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--against", metavar="FILE", help="Ground truth of a file of results."),
    ] = None,
    for_: Annotated[
        Use | None,
        typer.Option("--for", help="Look for what this use needs, too."),
    ] = None,
    format: Annotated[ReportFormat, typer.Option("--format", help="How to report.")] = ReportFormat.text,
    report: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--report", metavar="FILE", callback=writable, help="Write the report there."),
    ] = None,
    baseline: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--baseline", metavar="FILE", help="An earlier JSON report: leave out the findings that it has."),
    ] = None,
    fail_on: Annotated[
        FailOn | None, typer.Option("--fail-on", help="What makes the exit code 1.  [default: error]")
    ] = None,
    select: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--select", metavar="CODE[:GLOB]", help="Only such findings; may be repeated."),
    ] = None,
    ignore: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--ignore", metavar="CODE[:GLOB]", help="No such findings; may be repeated."),
    ] = None,
    only_changed: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--only-changed", metavar="REF", help="Only what changed since a git commit."),
    ] = None,
    reread: Annotated[
        bool, typer.Option("--reread", help="On S3, look into images that the manifest vouches for, too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    engine: EngineOption = EngineName.local,
    ray_address: RayAddressOption = None,
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
    """Check a place, or a COCO JSON file: exit 1 when something is wrong."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    chosen = console.report_format(format, json, report, baseline, place)
    project = configuration.options(select=select, ignore=ignore, fail_on=fail_on, layout=layout)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        found = visprep.verify(
            place, as_=as_, depth=depth, expect=expect, against=against, for_=for_, baseline=baseline,
            only_changed=only_changed, reread=reread, dry_run=dry_run, engine=engine, ray_address=ray_address,
            jobs=jobs, memory=configuration.verify_memory(), s3=s3, progress=screen.progress, **project,
        )  # fmt: skip
    if layout and found.format not in ("tasks", "splits"):  # where it stands in pyproject.toml, it is for others
        screen.say(f"note: --layout says nothing here: {place} holds no tasks")
    console.show_report(found, chosen, report)
    raise typer.Exit(CANNOT if found.unread else FINDINGS if found.failed else 0)
