"""`visprep runs` and its commands."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Optional

import typer

from visprep import console, runs_console
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


class Kind(StrEnum):
    """What a run is made of."""

    checkpoints = "checkpoints"
    tensorboard = "tensorboard"
    logs = "logs"


RunPlace = Annotated[
    str, typer.Argument(metavar="PLACE", help="Where runs are: a directory or s3://bucket/prefix, or one run there.")
]
RunOrFile = Annotated[
    str, typer.Argument(metavar="PLACE", help="Where runs are, one run there, or one of its checkpoints.")
]
Experiment = Annotated[
    Optional[str],  # noqa: UP045 -- typer reads the annotation at run time
    typer.Option("--experiment", "-e", metavar="NAME", help="The run; needed where there are several."),
]
Experiments = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--experiment", "-e", metavar="NAME", help="This run alone."),
]
Pulled = Annotated[str, typer.Option("--output", "-o", metavar="DIR", help="The directory that it is pulled to.")]
CheckpointPrefix = Annotated[str, typer.Option("--checkpoint-prefix", metavar="PATH", help="Where checkpoints are.")]
TensorboardPrefix = Annotated[str, typer.Option("--tensorboard-prefix", metavar="PATH", help="Where events are.")]
LogsPrefix = Annotated[str, typer.Option("--logs-prefix", metavar="PATH", help="Where logs are.")]


def runs() -> None:
    """See, fetch and send what trainings left: checkpoints, logs, TensorBoard events."""


def list_runs(
    place: RunPlace,
    checkpoint_prefix: CheckpointPrefix = "checkpoints",
    tensorboard_prefix: TensorboardPrefix = "tensorboard",
    logs_prefix: LogsPrefix = "logs",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """List the runs of a place: how far each is, and what its newest checkpoint measured."""
    import visprep.runs

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    layout = visprep.runs.RunLayout(checkpoint_prefix, tensorboard_prefix, logs_prefix)
    with console.screen(quiet=quiet, verbose=verbose, log=log):
        runs_console.show_list(visprep.runs.list_runs(place, layout=layout, s3=s3), as_json=json)


def show_runs(
    place: RunOrFile,
    experiment: Experiment = None,
    checkpoint_prefix: CheckpointPrefix = "checkpoints",
    tensorboard_prefix: TensorboardPrefix = "tensorboard",
    logs_prefix: LogsPrefix = "logs",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Show a run, or one checkpoint of it: what is kept, what it measured, and what it was trained on."""
    import visprep.runs

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    layout = visprep.runs.RunLayout(checkpoint_prefix, tensorboard_prefix, logs_prefix)
    with console.screen(quiet=quiet, verbose=verbose, log=log):
        runs_console.show_run(visprep.runs.show(place, experiment=experiment, layout=layout, s3=s3), as_json=json)


def pull_runs(
    place: RunOrFile,
    output: Pulled = "data/runs",
    experiment: Experiments = None,
    only: Annotated[
        Optional[list[Kind]],  # noqa: UP045
        typer.Option("--only", help="Only this part of a run; may be repeated."),
    ] = None,
    jobs: Jobs = None,
    checkpoint_prefix: CheckpointPrefix = "checkpoints",
    tensorboard_prefix: TensorboardPrefix = "tensorboard",
    logs_prefix: LogsPrefix = "logs",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Fetch runs, or one checkpoint, to a directory: what is there already is not fetched again."""
    import visprep.runs

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    layout = visprep.runs.RunLayout(checkpoint_prefix, tensorboard_prefix, logs_prefix)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.runs.pull(
            place, output, experiment=experiment, only=only, jobs=jobs, layout=layout, s3=s3, progress=screen.progress
        )
    runs_console.show_carried(screen, result, as_json=json)


def push_runs(
    directory: Annotated[
        str, typer.Argument(metavar="DIR", help="A directory with runs, or with checkpoints of another tool.")
    ],
    place: Annotated[str, typer.Argument(metavar="PLACE", help="Where they go: s3://bucket/prefix or a directory.")],
    experiment: Experiments = None,
    checkpoint_prefix: CheckpointPrefix = "checkpoints",
    tensorboard_prefix: TensorboardPrefix = "tensorboard",
    logs_prefix: LogsPrefix = "logs",
    storage_class: StorageClass = None,
    sse: Sse = None,
    sse_kms_key_id: SseKmsKeyId = None,
    acl: Acl = None,
    request_payer: RequestPayer = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Send runs on: what a training kept on disk while S3 was gone, or checkpoints of another tool."""
    import visprep.runs

    s3 = visprep.S3Settings(
        profile, region, endpoint_url, no_sign_request, storage_class=storage_class, sse=sse,
        sse_kms_key_id=sse_kms_key_id, acl=acl, request_payer=request_payer,
    )  # fmt: skip
    layout = visprep.runs.RunLayout(checkpoint_prefix, tensorboard_prefix, logs_prefix)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.runs.push(
            directory, place, experiment=experiment, layout=layout, s3=s3, progress=screen.progress
        )
    runs_console.show_carried(screen, result, as_json=json)


def logs_runs(
    place: RunPlace,
    experiment: Experiment = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until interrupted.")] = False,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0.1, help="With --follow: seconds between two looks.")
    ] = 5.0,
    lines: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--lines", "-n", metavar="N", min=0, help="Begin with the last so many lines.  [default: all]"),
    ] = None,
    metrics: Annotated[bool, typer.Option("--metrics", help="What was measured, a JSON object a line.")] = False,
    checkpoint_prefix: CheckpointPrefix = "checkpoints",
    tensorboard_prefix: TensorboardPrefix = "tensorboard",
    logs_prefix: LogsPrefix = "logs",
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Print the log of a run."""
    import visprep.runs

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    layout = visprep.runs.RunLayout(checkpoint_prefix, tensorboard_prefix, logs_prefix)
    with console.screen(quiet=quiet, verbose=verbose, log=log):
        found = visprep.runs.logs(
            place, experiment=experiment, follow=follow, every=every, lines=lines, metrics=metrics, layout=layout, s3=s3
        )
        runs_console.show_lines(found)


def tensorboard_runs(
    place: RunPlace,
    output: Pulled = "data/runs",
    experiment: Experiments = None,
    jobs: Jobs = None,
    checkpoint_prefix: CheckpointPrefix = "checkpoints",
    tensorboard_prefix: TensorboardPrefix = "tensorboard",
    logs_prefix: LogsPrefix = "logs",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    log: Log = None,
    profile: Profile = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    no_sign_request: NoSignRequest = False,
) -> None:
    """Fetch the TensorBoard events of runs, and print the command that shows them."""
    import visprep.runs

    s3 = visprep.S3Settings(profile, region, endpoint_url, no_sign_request)
    layout = visprep.runs.RunLayout(checkpoint_prefix, tensorboard_prefix, logs_prefix)
    with console.screen(quiet=quiet, verbose=verbose, log=log) as screen:
        result = visprep.runs.tensorboard(
            place, output, experiment=experiment, jobs=jobs, layout=layout, s3=s3, progress=screen.progress
        )
    runs_console.show_events(screen, result, as_json=json)
