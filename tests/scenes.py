"""Pictures that nobody takes for one another, copies of them as they come, and places that hold them in parts."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (160, 120)


def scene(number: int) -> Image.Image:
    """A picture of its own for each number: large patches of color, and something small in them."""
    drawn = np.random.default_rng(number)
    patches = Image.fromarray(drawn.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    grain = drawn.integers(-12, 13, (SIZE[1], SIZE[0], 1))
    return Image.fromarray((np.asarray(patches, np.int64) + grain).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **({"quality": 92} if kind == "JPEG" else {}) | options)
    return written.getvalue()


def photo(number: int) -> bytes:
    """A scene as a JPEG."""
    return encoded(scene(number))


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


#: What becomes of pictures on their way -> how that is done, and by what it is found.
COPIES = {
    "bytes": lambda data: data,
    "pixels": lambda data: encoded(decoded(data), "PNG"),
    "quality 50": lambda data: encoded(decoded(data), quality=50),
    "webp": lambda data: encoded(decoded(data), "WEBP", quality=70),
    "half": lambda data: encoded(decoded(data).resize((80, 60), Image.Resampling.LANCZOS)),
    "double": lambda data: encoded(decoded(data).resize((320, 240), Image.Resampling.BICUBIC)),
}
FOUND_BY = {"bytes": "bytes", "pixels": "pixels"}

Parts = Mapping[str, Mapping[str, bytes]]


def write(place: Path, files: Mapping[str, bytes | str]) -> None:
    for path, data in files.items():
        assert not path.startswith("/")
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(data.encode() if isinstance(data, str) else data)


def document(names: list[str], first: int = 1) -> str:
    """An annotation file with a box on each image."""
    images = [{"id": first + at, "file_name": name, "width": 160, "height": 120} for at, name in enumerate(names)]
    boxes = [
        {"id": one["id"], "image_id": one["id"], "category_id": 1, "bbox": [10, 10, 50, 40], "area": 2000, "iscrowd": 0}
        for one in images
    ]
    return json.dumps({"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "thing"}]})


def coco(place: Path, parts: Parts) -> None:
    """As COCO has it: annotations/instances_train2017.json, train2017/."""
    first = 1
    for part, files in parts.items():
        write(place, {f"{part}2017/{name}": data for name, data in files.items()})
        write(place, {f"annotations/instances_{part}2017.json": document(list(files), first)})
        first += len(files)


def roboflow(place: Path, parts: Parts) -> None:
    """As Roboflow exports it: train/_annotations.coco.json beside the images; ids begin at 0 in each."""
    for part, files in parts.items():
        folder = {"val": "valid"}.get(part, part)
        write(place, {f"{folder}/{name}": data for name, data in files.items()})
        write(place, {f"{folder}/_annotations.coco.json": document(list(files), 0)})


def images(place: Path, parts: Parts) -> None:
    """Directories of images, with directories of classes in them."""
    for part, files in parts.items():
        write(place, {f"{part}/cats/{name}": data for name, data in files.items()})


def tasks(place: Path, parts: Parts) -> None:
    """Tasks; the picture is the first frame."""
    for part, files in parts.items():
        for number, (name, data) in enumerate(files.items()):
            home = f"{part}/maze_task/{Path(name).stem}"
            frames = {f"{home}/first_frame.png": encoded(decoded(data), "PNG", compress_level=1 + number % 9)}
            end = encoded(scene(10_000 + number + 1_000 * list(parts).index(part)), "PNG")
            write(place, {**frames, f"{home}/final_frame.png": end, f"{home}/prompt.txt": f"Go to {name}."})


def vton(place: Path, parts: Parts) -> None:
    """Triplets; the picture is the person, who puts on one cloth of all."""
    cloth = photo(20_000)
    for part, files in parts.items():
        for number, (name, data) in enumerate(files.items()):
            home, stem = f"{part}/female", Path(name).stem
            worn = photo(30_000 + number + 1_000 * list(parts).index(part))
            write(place, {f"{home}/initial_image/{stem}_person.jpg": data})
            write(place, {f"{home}/cloth_image/{stem}_cloth_1.jpg": cloth})
            write(place, {f"{home}/try_on_image/{stem}_vton.jpg": worn})


def frames(place: Path, parts: Parts) -> None:
    """Episodes of four frames that move; the picture is the first three."""
    for part, files in parts.items():
        for number, (name, data) in enumerate(files.items()):
            home = f"{part}/pong/{Path(name).stem}"
            image = decoded(data)
            for at in range(3):
                moved = Image.fromarray(np.roll(np.asarray(image), 9 * at, axis=1))
                write(place, {f"{home}/frame_{at}.png": encoded(moved, "PNG")})
            last = scene(40_000 + number + 1_000 * list(parts).index(part))
            write(place, {f"{home}/frame_3.png": encoded(last, "PNG")})
