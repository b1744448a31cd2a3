"""`visprep convert`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from visprep import console, convert_console
from visprep.cli.application import FINDINGS
from visprep.options import (
    Convertible,
    ConvertTo,
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
    Verbose,
    YoloTask,
)


def convert(
    place: Convertible,
    to: Annotated[ConvertTo, typer.Option("--to", help="The format to convert to.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="PLACE", help="The directory, or s3:// place, where it goes.")
    ],
    lossless: Annotated[bool, typer.Option("--lossless", help="Write nothing where something would be lost.")] = False,
    image_root: Annotated[
        Optional[str],  # noqa: UP045 -- typer reads the annotation at run time
        typer.Option("--image-root", metavar="URL", help="Put this before the names of images."),
    ] = None,
    strip_root: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--strip-root", metavar="URL", help="Take this away from the beginning of the names of images."),
    ] = None,
    classes: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--classes", metavar="FILE", help="A file that renames, keeps or drops classes."),
    ] = None,
    merge: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--merge", metavar="FILE", help="Another annotation file to put in; may be repeated."),
    ] = None,
    renumber: Annotated[bool, typer.Option("--renumber", help="New ids where those of --merge clash.")] = False,
    max_side: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--max-side", metavar="N", min=1, help="Make images with a side of more pixels smaller."),
    ] = None,
    quality: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--quality", metavar="N", min=1, max=100, help="Quality of the JPEG that --max-side makes.  [default: 90]"
        ),
    ] = None,
    task: Annotated[
        Optional[YoloTask],  # noqa: UP045
        typer.Option("--task", help="What a directory of YOLO is for; by default, what the annotations are good for."),
    ] = None,
    shard_size: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--shard-size", metavar="MB", min=1, help="Megabytes in a file.  [default: 500]"),
    ] = None,
    shard_tasks: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--shard-tasks", metavar="N", min=1, help="Tasks in a file.  [default: 10000]"),
    ] = None,
    window: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--window", metavar="N", min=2, help="Frames in a task; by default, all of an episode."),
    ] = None,
    prompt: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--prompt", metavar="TEXT", help="The prompt of videos and episodes that have none beside them."),
    ] = None,
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
    """Make a dataset of another format, or COCO of COCO: exit 1 when --lossless refuses."""
    import visprep

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen, convert_console.rest_told(screen, json):
        result = visprep.convert(
            place, to=to, output=output, lossless=lossless, image_root=image_root, strip_root=strip_root,
            classes=classes, merge=merge or (), renumber=renumber,
            max_side=max_side, quality=quality, task=task and task.value,
            shard_size=shard_size, shard_tasks=shard_tasks, window=window, prompt=prompt,
            jobs=jobs, engine=engine, ray_address=ray_address, s3=s3, progress=screen.progress,
        )  # fmt: skip
    convert_console.show_convert(screen, result, as_json=json)
    raise typer.Exit(FINDINGS if result.refused else 0)
