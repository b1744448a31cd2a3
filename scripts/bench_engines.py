"""A cluster of two nodes on this machine against this machine alone: download, verify and convert of many images.

Each verb runs three times: on `local`, on `ray`, and on `ray` with a node that is killed in the middle. What comes out
must be the same bytes; the times of the first two are told. 10,000 images take less than 1 GB of disk and of memory;
`python scripts/bench_engines.py --images 1000` is shorter.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
from PIL import Image

import visprep
from conftest import tree
from ray_cluster import TwoNodes
from visprep.engines.ray import Ray

#: Pictures that are drawn; the rest are copies of them with other bytes after the end of the image.
DRAWN = 50


def make(root: Path, count: int) -> None:
    """A COCO dataset of so many JPEG files of some 15 kB."""
    draw = np.random.default_rng(1)
    (root / "train2017").mkdir(parents=True)
    (root / "annotations").mkdir()
    drawn = []
    for _ in range(DRAWN):
        small = Image.fromarray(draw.integers(0, 255, (12, 16, 3), np.uint8))
        path = root / "drawn.jpg"
        small.resize((320, 240), Image.Resampling.BICUBIC).save(path, quality=92)
        drawn.append(path.read_bytes())
        path.unlink()
    images, annotations = [], []
    for number in range(1, count + 1):
        name = f"{number:012d}.jpg"
        data = bytearray(drawn[number % DRAWN])
        comment = b"%012d" % number
        data[2:2] = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (root / "train2017" / name).write_bytes(data)
        images.append({"id": number, "file_name": name, "width": 320, "height": 240})
        box = [number % 200, number % 100, 50, 40]
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1, "bbox": box, "area": 2000, "iscrowd": 0}
        )
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(document))


def verbs(engine: Any, progress: Callable[[Any], None]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is done in the working directory, one after the other, and what each tells."""
    yield "download", lambda: visprep.download("../origin", output="copy", engine=engine, progress=progress) and None
    yield (
        "verify",
        lambda: [
            (one.code, one.path, dict(one.where))
            for one in visprep.verify("copy", depth="decode", engine=engine, progress=progress).findings
        ],
    )
    yield (
        "convert",
        lambda: (
            visprep.convert("copy", to="coco", output="small", max_side=160, engine=engine, progress=progress).images
        ),
    )


class Killer:
    """Kills a node when a third of a verb's work has come back."""

    def __init__(self, cluster: TwoNodes | None) -> None:
        self.cluster, self.killed = cluster, False

    def __call__(self, progress: Any) -> None:
        """See `visprep.progress`."""
        if self.cluster and not self.killed and progress.total and progress.done * 3 > progress.total > 100:
            self.cluster.kill_a_node()
            self.killed = True


def run(home: Path, engine: Any, cluster: TwoNodes | None = None) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds of each verb in a fresh directory, and all that came of it."""
    home.mkdir()
    took: dict[str, float] = {}
    told: dict[str, Any] = {}
    with contextlib.chdir(home):
        killer = Killer(cluster)
        for name, do in verbs(engine, killer):
            began = time.perf_counter()
            told[name] = do()
            took[name] = time.perf_counter() - began
            if cluster:
                print(f"  {name}: {'a node was killed' if killer.killed else 'no node was killed'}", flush=True)
                cluster.mend()
                killer.killed = False
    came = {place: _digests(home / place) for place in ("copy", "small")}
    shutil.rmtree(home)  # so that the disk holds one at a time
    return took, told | came


def _digests(place: Path) -> dict[str, str]:
    return {path: hashlib.sha256(data).hexdigest() for path, data in tree(place).items()}


def main() -> int:
    """Run it; 1 when what came out differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    count = parser.parse_args().images
    os.environ |= {"SOURCE_DATE_EPOCH": "1700000000", "RAY_AUTH_MODE": "disabled"}
    work, sockets = Path(tempfile.mkdtemp()), tempfile.mkdtemp(prefix="visprep-ray-", dir="/tmp")
    began = time.perf_counter()
    cluster = TwoNodes(sockets)
    try:
        print(f"the cluster started in {time.perf_counter() - began:.1f} s", flush=True)
        make(work / "origin", count)
        alone, wanted = run(work / "local", "local")
        with Ray(address=cluster.address) as engine:
            began = time.perf_counter()
            engine.check()
            print(f"it was joined and asked in {time.perf_counter() - began:.1f} s", flush=True)
            spread, given = run(work / "ray", engine)
            _, after = run(work / "killed", engine, cluster)
        print(f"{count:,} images           local       ray")
        for name, seconds in alone.items():
            print(f"  {name:10} {seconds:9.1f} s {spread[name]:9.1f} s   {spread[name] / seconds:5.2f}x", flush=True)
        same = wanted == given, wanted == after
        for name, one in (("ray", given), ("ray, a node killed", after)):
            for what, value in wanted.items():
                print(f"  {name}: {what} is {'the same' if one[what] == value else 'DIFFERENT'}")
    finally:
        cluster.end()
        shutil.rmtree(work)
        shutil.rmtree(sockets, ignore_errors=True)
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
