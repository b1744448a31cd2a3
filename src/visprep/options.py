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
    markdown = "markdown"
    html = "html"


class PlaceFormat(StrEnum):
    """What the files of a place are written as."""

    coco = "coco"
    frames = "frames"
    open_images = "open-images"
    tasks = "tasks"
    voc = "voc"
    vton = "vton"
    yolo = "yolo"


class FixHow(StrEnum):
    """What is done about bad images."""

    quarantine = "quarantine"
    refetch = "refetch"


class SplitMethod(StrEnum):
    """How the parts of a split are drawn."""

    stable = "stable"
    exact = "exact"


class SplitHow(StrEnum):
    """How the parts of a split are written."""

    ids = "ids"
    links = "links"
    copies = "copies"


class ConvertTo(StrEnum):
    """What files are converted to."""

    coco = "coco"
    parquet = "parquet"
    tasks = "tasks"
    voc = "voc"
    webdataset = "webdataset"
    yolo = "yolo"


class MetadataFormat(StrEnum):
    """Who shall read metadata."""

    croissant = "croissant"
    hf_card = "hf-card"


class YoloTask(StrEnum):
    """What a directory of YOLO is for."""

    detect = "detect"
    segment = "segment"
    pose = "pose"


class EngineName(StrEnum):
    """What runs the work."""

    local = "local"
    ray = "ray"


class Use(StrEnum):
    """What data is to be used for."""

    loader = "loader"


Place = Annotated[str, typer.Argument(metavar="PLACE", help="A directory or s3://bucket/prefix.")]
PlaceOrFile = Annotated[
    str, typer.Argument(metavar="PLACE", help="A directory, an archive, s3://bucket/prefix, or a COCO JSON file.")
]
PlaceOrArchive = Annotated[str, typer.Argument(metavar="PLACE", help="A directory, an archive, or s3://bucket/prefix.")]
Convertible = Annotated[
    str,
    typer.Argument(
        metavar="PLACE",
        help="A directory, an archive, s3://bucket/prefix, or one file: .json (COCO), .parquet, .tar, .avi, .mp4.",
    ),
]
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A source (`visprep sources`) or a place.")]
PlacesOrFiles = Annotated[
    list[str],
    typer.Argument(metavar="PLACE", help="A COCO JSON file, a directory or s3://bucket/prefix, or several."),
]
Output = Annotated[
    Optional[str],  # noqa: UP045 -- typer reads the annotation at run time
    typer.Option("--output", "-o", metavar="PLACE", envvar="DATA_DIR", help="Where it goes.  [default: data/...]"),
]
DemoOutput = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--output", "-o", metavar="DIR", help="Where it goes.  [default: data/demo]"),
]
LAYOUTS = ("template", "vbvr", "vmevalkit")
LAYOUT_HELP = f"Files a task must have: {', '.join(LAYOUTS)}."
SplitOutput = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--output",
        "-o",
        metavar="PLACE",
        envvar="SPLITS_DIR",
        help="Where the parts go.  [default: data/cleaned_splits]",
    ),
]
Layout = Annotated[str, typer.Option("--layout", metavar="NAME", help=LAYOUT_HELP)]
Jobs = Annotated[Optional[int], typer.Option("--jobs", metavar="N", min=1, help="How many things to do at once.")]  # noqa: UP045
EngineOption = Annotated[EngineName, typer.Option("--engine", help="This machine, or a Ray cluster.")]
RayAddressOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        envvar="RAY_ADDRESS",
        help="The Ray cluster.  [default: one of its own, here]",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No talk, no progress.")]
Verbose = Annotated[
    int,
    typer.Option("--verbose", "-v", count=True, show_default=False, help="Tell of retries; twice: of every request."),
]
Log = Annotated[Optional[Path], typer.Option("--log", metavar="FILE", help="Write a log of every request there.")]  # noqa: UP045
Profile = Annotated[Optional[str], typer.Option("--profile", metavar="NAME", help="AWS profile.")]  # noqa: UP045
Region = Annotated[Optional[str], typer.Option("--region", metavar="NAME", help="AWS region.")]  # noqa: UP045
EndpointUrl = Annotated[Optional[str], typer.Option("--endpoint-url", metavar="URL", help="S3 endpoint.")]  # noqa: UP045
NoSignRequest = Annotated[bool, typer.Option("--no-sign-request", help="Do not sign: for public buckets.")]
UpstreamSplit = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--split", metavar="S[,S]", help="Which of upstream's splits."),
]
Limit = Annotated[Optional[int], typer.Option("--limit", metavar="N", help="At most so many of each split.")]  # noqa: UP045
Labels = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--labels", metavar="KIND[,KIND]", help="Kinds of annotations (coco, open-images)."),
]
Classes = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--classes", metavar="A[,B]", help="Only these classes (coco, open-images)."),
]
Licenses = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--licenses", metavar="N[,N]", help="Only these licenses (coco, open-images)."),
]
Config = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--config", metavar="NAME[,NAME]", help="Which of upstream's configs."),
]
Revision = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--revision", metavar="REV", help="Upstream's commit."),
]
Map = Annotated[str, typer.Option("--map", metavar="FIELD=COLUMN[,...]", help="Which column is what, for hf: sources.")]
Mirror = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--mirror", metavar="URL[,URL]", help="Fetch from there, not from the known addresses."),
]
Checksums = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--checksums",
        metavar="FILE",
        help="Checksums, as sha256sum writes them, for those that are recorded (coco, tar).",
    ),
]
Parts = Annotated[
    str,
    typer.Option(
        "--parts",
        metavar="NAME=SIZE,...",
        help="Parts and their shares: train=0.8,val=0.1,test=0.1; or counts: train=10000.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Another one draws other parts.")]
Method = Annotated[
    Optional[SplitMethod],  # noqa: UP045
    typer.Option("--method", help="How parts are drawn.  [default: stable; exact for counts]"),
]
Extend = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--extend", metavar="FILE", help="A split.json: what is placed there stays."),
]
Stratify = Annotated[bool, typer.Option("--stratify", help="Spread each class over the parts as evenly as can be.")]
GroupBy = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--group-by", metavar="FIELD", help="Records with the same value in this field stay together."),
]
NearDuplicates = Annotated[bool, typer.Option("--near-duplicates", help="Images that look the same stay together.")]
Clean = Annotated[bool, typer.Option("--clean", help="Leave out what verify calls an error.")]
DropEmpty = Annotated[bool, typer.Option("--drop-empty", help="Leave out images without annotations.")]
Prefix = Annotated[str | None, typer.Option("--name", metavar="PREFIX", help="What the names of the files begin with.")]
TaskLayout = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--layout", metavar="NAME", help=f"{LAYOUT_HELP}  [default: as downloaded]"),
]
How = Annotated[SplitHow, typer.Option("--how", help="Lists of ids, links or copies of the files.")]
StorageClass = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--storage-class", metavar="CLASS", help="Storage class of new objects, such as STANDARD_IA."),
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
