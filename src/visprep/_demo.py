"""`demo`: the whole road on the embedded sample, offline, against real servers on this machine.

A local hub serves the sample as if it were VideoThinkBench, a local S3 takes it; everything between them is the code
that runs in earnest. Then a mirror serves a set in COCO's shape as if it were COCO, and a mirror and an S3 one in the
shape of Open Images. Needs the extra `demo`.
"""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from visprep import sources
from visprep._download import download
from visprep._leaks import leaks
from visprep._publish import publish
from visprep._split import SplitResult, split
from visprep._upload import upload
from visprep._verify import verify
from visprep.errors import DemoFailed, MissingExtra, WouldOverwrite
from visprep.findings import Report
from visprep.manifest import Manifest
from visprep.own_record import read_manifest
from visprep.progress import OnProgress, unheard
from visprep.records import Task
from visprep.settings import S3Settings
from visprep.sources import Selection, Upstream
from visprep.sources.open_images import OpenImages
from visprep.stores import open_store
from visprep.testing import coco, open_images_sample
from visprep.testing.hub import LocalHub
from visprep.testing.mirror import Mirror

_BUCKET = "demo-bucket"
_KEY = "demo"


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo made: for each step its name, what came of it, and where that is."""

    rows: tuple[tuple[str, str, str], ...]


def demo(
    output: str | os.PathLike[str] | None = None,
    *,
    progress: OnProgress = unheard,
    say: Callable[[str], None] = lambda _: None,
) -> DemoResult:
    """Download, verify, upload, download elsewhere, verify; then some of COCO's sample, and all of it, and split that.

    That is published, and trained with for a moment where PyTorch is installed. At last the sample in the shape of Open
    Images, on two roads. What was made at each step, under `output` (`data/demo`); the small Open Images that was
    downloaded from stays in `upstream/` there.

    DemoFailed when a step does not end as it must; every other error is the error of the step that met it.
    """
    root = Path(output or "data/demo")
    here, elsewhere = root / "questions", root / "elsewhere"
    place = f"s3://{_BUCKET}/datasets/videothinkbench"
    rows: list[tuple[str, str, str]] = []

    def step(name: str, made: str, where: object) -> None:
        say(f"{len(rows) + 1}. {name}: {made}")
        rows.append((name, made, str(where)))

    with _hub() as tasks, _s3() as s3:
        try:
            got: Any = download("videothinkbench", here, progress=progress)
        except WouldOverwrite as error:
            raise DemoFailed(error.message, hint="try another --output") from None
        _expect(got.tasks == tasks, f"{got.tasks} tasks arrived, {tasks} are upstream")
        step("download videothinkbench", f"{got.tasks} tasks", here)
        step("verify", _sound(verify(here, progress=progress)), here)
        sent: Any = upload(here, place, s3=s3, progress=progress)
        step("upload", f"{sent.moved + sent.kept} files", place)
        back: Any = download(place, elsewhere, s3=s3, progress=progress)
        step("download from S3", f"{back.moved + back.kept} files", elsewhere)
        step("verify", _sound(verify(elsewhere, depth="content", progress=progress)), elsewhere)
        manifests = [_manifest(one) for one in (here, elsewhere)]
        _expect(manifests[0] == manifests[1], f"{here} and {elsewhere} differ")
        step("compare", f"{len(manifests[0].files)} files, byte for byte the same", manifests[0].digest[:19])
    with _coco_mirror() as options:
        splits, kites, whole = "train2017,val2017", root / "kites", root / "coco"
        some: Any = download("coco", kites, split=splits, classes="kite", **options, progress=progress)
        step("download coco --classes kite", f"{some.files + some.kept} files", kites)
        step("verify", _sound(verify(kites, progress=progress)), kites)
        all_of_it: Any = download("coco", whole, split=splits, **options, progress=progress)
        step("download coco", f"{all_of_it.files + all_of_it.kept} files", whole)
        step("verify", _sound(verify(whole, progress=progress)), whole)
    parts = root / "splits"
    made = split(
        whole / "annotations/instances_train2017.json",
        output=parts,
        parts="train=0.6,val=0.2,test=0.2",
        method="exact",
        stratify=True,
        near_duplicates=True,
        progress=progress,
    )
    step("split", _sizes(made), parts)
    compared = leaks(parts, progress=progress)
    _expect(not compared.failed, f"{parts}: its parts leak")
    step("leaks", f"{compared.pairs} pairs of images compared, none", parts)
    _published_and_trained(whole, step, progress)
    _by_two_roads(root, step, progress)
    return DemoResult(tuple(rows))


def _published_and_trained(whole: Path, step: Callable[[str, str, object], None], progress: OnProgress) -> None:
    """Publish the sample in COCO's shape, and train for a moment with its images, straight from there."""
    place = f"s3://{_BUCKET}/datasets/coco"
    with _s3() as s3:
        made = publish(whole, place, s3=s3, progress=progress)
        step("publish", f"version {made.version}", place)
        step("train", trained(f"{place}/annotations/instances_train2017.json", s3), place)


def trained(annotation_file: str, s3: S3Settings | None = None) -> str:
    """What comes of a short training; without PyTorch, what it needs."""
    try:
        trial = importlib.import_module("visprep.loaders.trial").train(annotation_file, s3)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "torch":
            raise
        return f"left out, since PyTorch is not installed: {MissingExtra('training', 'torch').hint}"
    _expect(trial.last < trial.first, f"the loss went from {trial.first:.3f} to {trial.last:.3f}")
    return f"{trial.images} images from S3, {trial.epochs} times, loss {trial.first:.3f} -> {trial.last:.3f}"


def _by_two_roads(root: Path, step: Callable[[str, str, object], None], progress: OnProgress) -> None:
    """Download from a small Open Images by its tables: some of it, then all of it from the bucket, and by HTTP."""
    with _s3() as s3, _open_images(root / "upstream", s3) as (bucket, web):
        toys, photos, again = root / "toys", root / "photos", root / "photos-by-http"
        some: Any = download("open-images", toys, classes="toy", expand_hierarchy=True, **bucket, progress=progress)
        step("download open-images --classes toy", f"{some.files + some.kept} files", toys)
        step("verify", _sound(verify(toys, progress=progress)), toys)
        splits, labels = "train,validation,test", "masks,relationships,image-labels,points"
        for place, road in ((photos, bucket), (again, web)):
            all_of_it: Any = download("open-images", place, split=splits, labels=labels, **road, progress=progress)
            via = road["via"]
            step(f"download open-images --via {via}", f"{all_of_it.files + all_of_it.kept} files", place)
        step("verify", _sound(verify(photos, depth="content", progress=progress)), photos)
        manifests = [_manifest(one) for one in (photos, again)]
        _expect(manifests[0].files == manifests[1].files, f"{photos} and {again} differ")
        step("compare", f"{len(manifests[0].files)} files, byte for byte the same", manifests[0].digest[:19])


def _sound(report: Report) -> str:
    first = f", the first: {report.findings[0].message} [{report.findings[0].code}]" if report.findings else ""
    _expect(not report.failed, f"{report.place}: {report.counts['error']} errors{first}")
    return ", ".join(f"{count} {kind}" for kind, count in report.checked.items()) + ", no errors"


def _sizes(made: SplitResult) -> str:
    _expect(made.split is not None and not made.failed, f"{made.output}: not split")
    return ", ".join(f"{part.records} {part.name}" for part in made.split.parts) if made.split else ""


def _expect(met: bool, complaint: str) -> None:
    if not met:
        raise DemoFailed(complaint, hint="this is a bug of visprep, or the directory was changed: try another --output")


def _manifest(place: Path) -> Manifest:
    manifest = read_manifest(open_store(os.fspath(place)))
    if manifest is None:
        raise DemoFailed(f"{place} has no manifest")
    return manifest


@contextmanager
def _hub() -> Iterator[int]:
    """A hub on this machine that has the sample under VideoThinkBench's name; gives the number of its tasks."""
    from visprep.sources.videothinkbench import REPOSITORY

    sample = sources.get("sample")
    selection = Selection()
    records = [
        record
        for split in sample.splits
        for record in sample.records(Upstream(), split, selection, _nothing())
        if isinstance(record, Task)
    ]
    with LocalHub() as hub:
        hub.add(REPOSITORY).commit(
            {"README.md": _CARD.encode(), "Vision-Centric_Reasoning/Visual_Puzzles.parquet": _parquet(records)}
        )
        before = os.environ.get("HF_ENDPOINT")
        os.environ["HF_ENDPOINT"] = hub.url
        try:
            yield len(records)
        finally:
            del os.environ["HF_ENDPOINT"]
            if before is not None:
                os.environ["HF_ENDPOINT"] = before


@contextmanager
def _coco_mirror() -> Iterator[dict[str, Any]]:
    """A web server on this machine that has the sample in COCO's shape and layout; the options that lead there."""
    with tempfile.TemporaryDirectory(prefix="visprep-") as folder:
        sums = coco.lay_out(Path(folder))
        with Mirror(Path(folder)) as mirror:
            yield {"mirror": mirror.url, "checksums": os.fspath(sums)}


@contextmanager
def _open_images(root: Path, s3: S3Settings) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The sample in the shape of Open Images below `root`, in a bucket and on the web; the options that lead there."""
    open_images_sample.lay_out(root)
    client = _client(s3)
    client.create_bucket(Bucket=OpenImages.bucket)
    for file in sorted((root / OpenImages.bucket).rglob("*.jpg")):
        key = file.relative_to(root / OpenImages.bucket).as_posix()
        client.put_object(Bucket=OpenImages.bucket, Key=key, Body=file.read_bytes(), ACL="public-read")
    with Mirror(root) as mirror:
        yield {"via": "s3", "s3": s3, "mirror": mirror.url}, {"via": "http", "mirror": mirror.url}


def _nothing() -> Any:
    """The sample draws its records: it asks for no content."""
    return None


_CARD = """---
license: mit
configs:
- config_name: Visual_Puzzles
  data_files:
  - split: test
    path: Vision-Centric_Reasoning/Visual_Puzzles.parquet
---
The embedded sample of visprep, in the shape of VideoThinkBench.
"""


def _parquet(tasks: list[Task]) -> bytes:
    """The tasks as a shard with the columns of VideoThinkBench."""
    try:
        from datasets import Dataset, Features, Image, Value, disable_progress_bars
    except ImportError:
        raise MissingExtra("the demo", "demo") from None
    disable_progress_bars()
    features = Features(
        {
            "task": Value("string"),
            "id": Value("string"),
            "prompt": Value("string"),
            "image": Image(),
            "solution_image": Image(),
        }
    )
    rows = [
        {
            "task": task.domain,
            "id": task.id,
            "prompt": task.prompt,
            "image": {"bytes": task.first_frame, "path": None},
            "solution_image": {"bytes": task.final_frame, "path": None},
        }
        for task in tasks
    ]
    written = BytesIO()
    Dataset.from_list(rows, features=features).to_parquet(written)
    return written.getvalue()


@contextmanager
def _s3() -> Iterator[S3Settings]:
    """An S3 on this machine with one empty bucket, and how to reach it."""
    try:
        from moto.server import ThreadedMotoServer
    except ImportError:
        raise MissingExtra("the demo", "demo") from None
    # Its log of requests would drown what the demo has to say
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        settings = S3Settings(region="us-east-1", endpoint_url=url, access_key=_KEY, secret_key=_KEY)
        _client(settings).create_bucket(Bucket=_BUCKET)
        yield settings
    finally:
        server.stop()


def _client(s3: S3Settings) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=s3.endpoint_url,
        region_name=s3.region,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
    )
