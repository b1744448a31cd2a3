"""The loaders that `bench_loaders.py` times, each in a process of its own, which this file is the program of.

Its only argument is a JSON object, the fields of `Asked`. A line on its standard input with a number makes a loader of
so many images, an empty one runs an epoch; each is answered with a JSON object. Where what a loader is made of is not
installed, the answer to the first line has its name as `missing`.

No part of visprep is imported but by its own loaders, so that this runs where only the others are installed.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

Bytes = bytes | memoryview


@dataclass(frozen=True)
class Asked:
    """What to time: a design, `raw` pixels or those of `resize`, and where everything is."""

    design: str
    work: str
    workers: int
    batch: int
    endpoint: str
    bucket: str
    prefix: str
    folder: str
    annotations: int

    @property
    def loading(self) -> dict[str, Any]:
        """What all DataLoaders are given."""
        return {"num_workers": self.workers, "persistent_workers": self.workers > 0}

    def key(self, name: str) -> str:
        """The key of an image."""
        return f"{self.prefix}images/{name}"


# -- what is made of the bytes of an image


def raw_by_pillow(data: Bytes) -> torch.Tensor:
    """The pixels, 3 x height x width."""
    return torch.from_numpy(np.array(Image.open(io.BytesIO(data)).convert("RGB"))).permute(2, 0, 1)


def raw_by_simplejpeg(data: Bytes) -> torch.Tensor:
    """The pixels, 3 x height x width."""
    import simplejpeg

    return torch.from_numpy(simplejpeg.decode_jpeg(data)).permute(2, 0, 1)


def resizing() -> Callable[[Any], Any]:
    """Resize, ToTensor and Normalize: torchvision's where it imports, else the same in a few lines."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from image_transforms import transforms

    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    steps = [transforms.Resize((224, 224)), transforms.ToTensor(), transforms.Normalize(mean, deviation)]
    composed: Callable[[Any], Any] = transforms.Compose(steps)
    return composed


class Resized:
    """What `resizing` makes of the bytes of an image, by way of Pillow."""

    def __init__(self) -> None:
        self.transform = resizing()

    def __call__(self, data: Bytes) -> torch.Tensor:
        """A float tensor."""
        tensor: torch.Tensor = self.transform(Image.open(io.BytesIO(data)).convert("RGB"))
        return tensor


def work_of(asked: Asked, raw: Callable[[Bytes], torch.Tensor] = raw_by_simplejpeg) -> Callable[[Bytes], torch.Tensor]:
    """What to make of the bytes of an image."""
    return raw if asked.work == "raw" else Resized()


# -- the loaders


class One(Dataset[torch.Tensor]):
    """An image at a time."""

    def __init__(self, names: list[str], work: Callable[[Bytes], torch.Tensor]) -> None:
        self.names, self.work = names, work

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.work(self.read(self.names[index]))

    def read(self, name: str) -> Bytes:
        """The bytes of an image."""
        return Path(name).read_bytes()


class Boto3(One):
    """The images of a bucket by boto3, with a client for each process."""

    def __init__(self, names: list[str], work: Callable[[Bytes], torch.Tensor], asked: Asked) -> None:
        super().__init__(names, work)
        self.asked, self.pid, self.client = asked, 0, None

    def read(self, name: str) -> Bytes:
        """The bytes of an image."""
        if self.pid != os.getpid():
            self.pid, self.client = os.getpid(), client(self.asked)
        body: bytes = self.client.get_object(Bucket=self.asked.bucket, Key=name)["Body"].read()  # type: ignore[attr-defined]
        return body


def client(asked: Asked) -> Any:
    """A client of boto3."""
    import boto3
    from botocore.config import Config

    return boto3.client("s3", endpoint_url=asked.endpoint, config=Config(s3={"addressing_style": "path"}))


def boto3_per_item(asked: Asked, names: list[str]) -> Iterable[Any]:
    """A Dataset that gets one object after the other, and Pillow."""
    import boto3  # noqa: F401

    dataset = Boto3([asked.key(name) for name in names], work_of(asked, raw_by_pillow), asked)
    return DataLoader(dataset, asked.batch, shuffle=True, **asked.loading)


def s3torchconnector(asked: Asked, names: list[str]) -> Iterable[Any]:
    """Its map-style dataset."""
    from s3torchconnector import S3ClientConfig, S3MapDataset

    work = work_of(asked)
    dataset = S3MapDataset.from_objects(
        [f"s3://{asked.bucket}/{asked.key(name)}" for name in names],
        region=os.environ["AWS_REGION"],
        endpoint=asked.endpoint,
        transform=lambda reader: work(reader.read()),
        s3client_config=S3ClientConfig(force_path_style=True),
    )
    return DataLoader(dataset, asked.batch, shuffle=True, **asked.loading)


def litdata(asked: Asked, names: list[str]) -> Iterable[Any]:
    """Its dataset of raw files, which brings the files of a batch all at once."""
    import litdata.streaming.downloader as downloader
    from litdata.raw import StreamingRawDataset
    from litdata.raw.indexer import BaseIndexer, FileMetadata

    if asked.endpoint.startswith("http://"):
        downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True  # else it refuses to speak without TLS

    class Known(BaseIndexer):  # type: ignore[misc]
        """What would be found by listing."""

        def discover_files(self, *_: Any) -> list[Any]:
            """The files, with their sizes."""
            sizes = [(Path(asked.folder, "images", name).stat().st_size, name) for name in names]
            return [FileMetadata(f"s3://{asked.bucket}/{asked.key(name)}", size) for size, name in sizes]

        def build_or_load_index(self, *_: Any) -> list[Any]:
            """The same."""
            return self.discover_files()

    dataset = StreamingRawDataset(
        f"s3://{asked.bucket}/{asked.prefix}images",
        cache_dir=tempfile.mkdtemp(),
        indexer=Known(),
        storage_options={"endpoint_url": asked.endpoint},
        transform=work_of(asked),
    )
    return DataLoader(dataset, asked.batch, shuffle=True, **asked.loading)


def webdataset(asked: Asked, names: list[str]) -> Iterable[Any]:
    """The same images out of tar files, each read by one command."""
    import webdataset as library

    from bench_loaders_data import SHARD

    s3, work = client(asked), work_of(asked)
    keys = [f"{asked.prefix}tars/{number:04}.tar" for number in range(len(names) // SHARD)]
    urls = [s3.generate_presigned_url("get_object", {"Bucket": asked.bucket, "Key": key}) for key in keys]
    commands = [f"pipe:curl -s -f '{url}'" for url in urls]
    dataset = library.WebDataset(commands, shardshuffle=False, empty_check=False).shuffle(200)
    return DataLoader(dataset.map(lambda sample: work(sample["jpg"])), asked.batch, **asked.loading)


def disk_plain(asked: Asked, names: list[str]) -> Iterable[Any]:
    """A Dataset that reads one file after the other."""
    dataset = One([str(Path(asked.folder, "images", name)) for name in names], work_of(asked))
    return DataLoader(dataset, asked.batch, shuffle=True, **asked.loading)


def disk_pillow(asked: Asked, names: list[str]) -> Iterable[Any]:
    """The same with Pillow."""
    paths = [str(Path(asked.folder, "images", name)) for name in names]
    return DataLoader(One(paths, work_of(asked, raw_by_pillow)), asked.batch, shuffle=True, **asked.loading)


def image_id(target: dict[str, Any]) -> Any:
    """All that is kept of a target."""
    return target["image_info"]["id"]


def ours(asked: Asked, names: list[str], local: bool = False) -> Iterable[Any]:
    """`CocoS3Dataset` and `make_loader`; `local` is the same on files of a disk."""
    from visprep.loaders import CocoS3Dataset, collate_tensors, make_loader
    from visprep.settings import S3Settings

    def place(name: str) -> str:
        return str(Path(asked.folder, "images", name)) if local else f"s3://{asked.bucket}/{asked.key(name)}"

    scratch = tempfile.mkdtemp()
    file = Path(scratch, "instances.json")
    images = [
        {"id": number, "file_name": place(name), "width": 640, "height": 480} for number, name in enumerate(names)
    ]
    box = {"category_id": 1, "bbox": [10.5, 20.25, 300.75, 200], "area": 60150.0, "iscrowd": 0}
    outline = [[10.5 + step * 7.25, 20.25 + step * 3.5] for step in range(40)]
    shape = {"segmentation": [[value for point in outline for value in point]]}
    count = asked.annotations * len(names)
    annotations = [{"id": number, "image_id": number % len(names), **box, **shape} for number in range(count)]
    categories = [{"id": 1, "name": "person"}]
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    work: dict[str, Any] = {"image_type": "tensor"} if asked.work == "raw" else {"transform": resizing()}
    if asked.work == "resize" and not type(work["transform"]).__module__.startswith("torchvision"):
        work["shrink_to"] = (224, 224)  # what is read off a Resize of torchvision
    if not asked.annotations:
        work["target_transform"] = image_id
    settings = S3Settings(endpoint_url=asked.endpoint)
    dataset = CocoS3Dataset(file, settings=settings, index_dir=scratch, handle_errors="raise", **work)
    return make_loader(dataset, asked.batch, collate_fn=collate_tensors, num_workers=asked.workers)


def ours_on_disk(asked: Asked, names: list[str]) -> Iterable[Any]:
    """See `ours`."""
    return ours(asked, names, local=True)


DESIGNS: dict[str, Callable[[Asked, list[str]], Iterable[Any]]] = {
    "boto3": boto3_per_item,
    "s3torchconnector": s3torchconnector,
    "litdata": litdata,
    "webdataset": webdataset,
    "disk-pillow": disk_pillow,
    "disk-simplejpeg": disk_plain,
    "disk-visprep": ours_on_disk,
    "visprep": ours,
}


def processor() -> float:
    """Seconds of the processor so far, of this process, its workers, and the commands that ended."""
    ticks = 0
    for worker in multiprocessing.active_children():
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{worker.pid}/stat").read_text()
            ticks += sum(map(int, text.rpartition(")")[2].split()[11:15]))
    return sum(os.times()[:4]) + ticks / os.sysconf("SC_CLK_TCK")


def epoch(loader: Iterable[Any]) -> dict[str, float]:
    """Images of an epoch, its seconds by the clock, and those of the processor."""
    began, used, count = time.perf_counter(), processor(), 0
    for batch in loader:
        count += len(batch[0] if isinstance(batch, (list, tuple)) else batch)
    seconds = time.perf_counter() - began
    return {"images": count, "seconds": seconds, "processor": processor() - used}


def main() -> None:
    """Answer line after line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed
    asked = Asked(**json.loads(sys.argv[1]))
    torch.set_num_threads(1)
    names = sorted(path.name for path in Path(asked.folder, "images").iterdir())
    loader: Any = None
    for line in sys.stdin:
        answer: dict[str, Any] = {}
        try:
            if line.strip():
                loader = None  # its workers end
                loader = DESIGNS[asked.design](asked, names[: int(line)])
            else:
                answer = epoch(loader)
        except ModuleNotFoundError as problem:
            answer = {"missing": problem.name}
        print(json.dumps(answer), file=answers, flush=True)
    os._exit(0)  # some leave threads behind that would hold it up


if __name__ == "__main__":
    main()
