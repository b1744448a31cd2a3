"""The options of the command line, each said once and shared by the commands that have it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from visprep import console


class Depth(StrEnum):
    """How closely verify looks."""

    names = "names"
    sizes = "sizes"
    headers = "headers"
    decode = "decode"
    content = "content"


class ReportFormat(StrEnum):
    """How a report is written."""

    text = "text"
    json = "json"
    junit = "junit"
    sarif = "sarif"
    github = "github"


class FailOn(StrEnum):
    """The least grave findings that fail."""

    error = "error"
    warning = "warning"


class Compare(StrEnum):
    """What makes two files the same."""

    content = "content"
    time = "time"
    size = "size"


class DiffFormat(StrEnum):
    """How differences are written."""

    text = "text"
    json = "json"


class PlaceFormat(StrEnum):
    """What the files of a place are written as."""

    coco = "coco"
    frames = "frames"
    tasks = "tasks"
    vton = "vton"


class FixHow(StrEnum):
    """What is done about bad images."""

    quarantine = "quarantine"
    refetch = "refetch"


class Use(StrEnum):
    """What data is to be used for."""

    loader = "loader"


Place = Annotated[str, typer.Argument(metavar="PLACE", help="A directory or s3://bucket/prefix.")]
PlaceOrFile = Annotated[
    str, typer.Argument(metavar="PLACE", help="A directory, s3://bucket/prefix, or a COCO JSON file.")
]
Output = Annotated[
    Optional[str],  # noqa: UP045 -- typer reads the annotation at run time
    typer.Option("--output", "-o", metavar="PLACE", envvar="DATA_DIR", help="Where it goes.  [default: data/...]"),
]
DemoOutput = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--output", "-o", metavar="DIR", help="Where it goes.  [default: data/demo]"),
]
LAYOUT_HELP = "Files a task must have: template, vbvr, vmevalkit."
Layout = Annotated[str, typer.Option("--layout", metavar="NAME", help=LAYOUT_HELP)]
Jobs = Annotated[Optional[int], typer.Option("--jobs", metavar="N", min=1, help="How much at once.")]  # noqa: UP045
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No talk, no progress.")]
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Retries; twice: one line a request.")]
Log = Annotated[Optional[Path], typer.Option("--log", metavar="FILE", help="Write the log there.")]  # noqa: UP045
Profile = Annotated[Optional[str], typer.Option("--profile", metavar="NAME", help="AWS profile.")]  # noqa: UP045
Region = Annotated[Optional[str], typer.Option("--region", metavar="NAME", help="AWS region.")]  # noqa: UP045
EndpointUrl = Annotated[Optional[str], typer.Option("--endpoint-url", metavar="URL", help="S3 endpoint.")]  # noqa: UP045
NoSignRequest = Annotated[bool, typer.Option("--no-sign-request", help="Do not sign: for public buckets.")]
StorageClass = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--storage-class", metavar="CLASS", help="Of new objects, such as STANDARD_IA."),
]
Sse = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--sse", metavar="KIND", help="Encryption of new objects: AES256, aws:kms, aws:kms:dsse."),
]
SseKmsKeyId = Annotated[Optional[str], typer.Option("--sse-kms-key-id", metavar="KEY", help="Key for KMS.")]  # noqa: UP045
Acl = Annotated[Optional[str], typer.Option("--acl", metavar="ACL", help="Canned ACL of new objects.")]  # noqa: UP045
RequestPayer = Annotated[bool, typer.Option("--request-payer", help="Pay for the requests ourselves.")]


def writable(file: Optional[Path]) -> Optional[Path]:  # noqa: UP045 -- typer reads the annotation at run time
    """The file itself, before hours of work are lost because nothing can be written there."""
    return console.check_writable(file)
