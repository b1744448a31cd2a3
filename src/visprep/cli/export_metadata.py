"""`visprep export-metadata`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from visprep import console
from visprep.options import (
    EndpointUrl,
    Json,
    Log,
    MetadataFormat,
    NoSignRequest,
    PlaceOrArchive,
    Profile,
    Quiet,
    Region,
    Verbose,
)

if TYPE_CHECKING:
    from visprep._export_metadata import ExportedMetadata


def export_metadata(
    place: PlaceOrArchive,
    to: Annotated[MetadataFormat, typer.Option("--to", help="Who shall read it.")],
    output: Annotated[
        Optional[Path],  # noqa: UP045 -- typer reads the annotation at run time
        typer.Option("--output", "-o", metavar="FILE", help="Write it there, not to stdout."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of others too.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Describe a place for others: Croissant (JSON-LD), or a dataset card of the Hugging Face hub."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        made = visprep.export_metadata(
            place, to=to, output=output, overwrite=overwrite, s3=s3, progress=screen.progress
        )
    _show(screen, made, as_json=json)


def _show(screen: console.Screen, made: ExportedMetadata, *, as_json: bool) -> None:
    """The text to stdout unless it went to a file, and what it does not say to stderr; as JSON all in one."""
    if as_json:
        console.out_json(console.plain(made))
        return
    if made.output is None:
        console.out(made.text)
    else:
        screen.say(f"{made.output}: {'written' if made.changed else 'it says so already'}")
    for note in made.notes:
        screen.say(f"note: {note}")
    if made.unknown:
        screen.say(f"note: left out, since the place does not tell: {', '.join(made.unknown)}")
