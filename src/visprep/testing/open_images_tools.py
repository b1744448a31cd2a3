"""What other tools leave of Open Images: each writes its own directory, as its code does, from a `LaidOut` upstream.

The images are some of upstream's, the tables upstream's own files. What the tools change of them is changed here too:
FiftyOne writes the hierarchy anew with names for MIDs, OIDv4_ToolKit and OIDv6 write boxes in pixels to label files.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from visprep.testing.open_images import TABLES, Image, LaidOut

__all__ = ["datumaro", "downloader", "fiftyone", "oidv4", "oidv6"]

_SPLITS = ("train", "validation", "test")


def fiftyone(upstream: LaidOut, root: Path, images: Iterable[Image] | None = None) -> Path:
    """`load_zoo_dataset("open-images-v7", dataset_dir=root)`: every kind of label, of the splits of the images."""
    for split, chosen in _by_split(upstream, images):
        home = root / split
        for image in chosen:
            _write(home / f"data/{image.id}.jpg", image.data)
        for name, path in (
            ("metadata/image_ids.csv", _images_table(split)),
            ("metadata/classes.csv", "v5/class-descriptions-boxable.csv"),
            ("metadata/point_classes.csv", "v7/oidv7-class-descriptions.csv"),
            ("metadata/segmentation_classes.csv", "v5/classes-segmentation.txt"),
            ("metadata/attributes.csv", "v6/oidv6-attributes-description.csv"),
            ("labels/detections.csv", _boxes_table(split)),
            ("labels/points.csv", f"v7/oidv7-{'val' if split == 'validation' else split}-annotations-point-labels.csv"),
            ("labels/relationships.csv", f"v6/oidv6-{split}-annotations-vrd.csv"),
            ("labels/segmentations.csv", f"v5/{split}-annotations-object-segmentation.csv"),
        ):
            _write(home / name, _table(upstream, path))
        _write(home / "labels/classifications.csv", _boxable_labels(upstream, split))
        names = {"/m/0bl9f": "Entity", **dict(_classes(upstream))}
        tree = json.loads(_table(upstream, "2018_04/bbox_labels_600_hierarchy.json"))
        _write(home / "metadata/hierarchy.json", json.dumps(_renamed(tree, names), separators=(",", ":")).encode())
        digits = {image.id[0] for image in chosen}
        for image in upstream.of(split):  # archives come whole, so masks of other images too
            for name, data in image.masks.items() if image.id[0] in digits else ():
                _write(home / f"labels/masks/{image.id[0].upper()}/{name}", data)
    return root


def oidv4(
    upstream: LaidOut,
    root: Path,
    classes: Sequence[str],
    splits: Sequence[str] = ("validation",),
    *,
    together: bool = False,
    tables: bool = True,
    labels: bool = True,
) -> Path:
    """`main.py downloader --classes ... --multiclasses 0|1`, run in `root`; its tables can be thrown away after."""
    mids = {name: mid for mid, name in _classes(upstream)}
    for split in splits:
        rows = _rows(upstream, f"2018_04/{split}/{split}-annotations-bbox.csv")
        for name in classes:
            home = root / "OID/Dataset" / split / ("_".join(classes) if together else name)
            for image, boxes in _having(upstream, split, rows, mids[name]):
                _write(home / f"{image.id}.jpg", image.data)
                lines = "".join(f"{name} {_in_pixels(image, box)}\n" for box in boxes)
                if labels:
                    _append(home / f"Label/{image.id}.txt", lines)
        if tables:
            path = f"{split}-annotations-bbox.csv"
            _write(root / "OID/csv_folder" / path, _table(upstream, f"2018_04/{split}/{path}"))
    if tables:
        lists = _table(upstream, "v5/class-descriptions-boxable.csv")
        _write(root / "OID/csv_folder/class-descriptions-boxable.csv", lists)
    return root


def oidv6(
    upstream: LaidOut,
    root: Path,
    classes: Sequence[str],
    splits: Sequence[str] = ("validation",),
    *,
    together: bool = False,
    tables: bool = True,
) -> Path:
    """`oidv6 downloader --dataset root --classes ... [--multi_classes]`; its tables can be thrown away after."""
    mids = {name.lower(): mid for mid, name in _classes(upstream)}
    for name in classes:
        called = name.lower().replace(" ", "_")
        for split in splits:
            home = root / "multidata" / split if together else root / split / called
            begin = f"{called}_" if together else ""
            for image, boxes in _having(upstream, split, _rows(upstream, _boxes_table(split)), mids[name.lower()]):
                _write(home / f"{begin}{image.id}.jpg", image.data)
                lines = "".join(f"{called} {_in_pixels(image, box)}\n" for box in boxes)
                _write(home / f"labels/{begin}{image.id}.txt", lines.encode())
    for split in splits if tables else ():
        _write(root / "boxes" / _boxes_table(split).rpartition("/")[2], _table(upstream, _boxes_table(split)))
    if tables:
        lists = _table(upstream, "v5/class-descriptions-boxable.csv")
        _write(root / "metadata/class-descriptions-boxable.csv", lists)
    return root


def downloader(upstream: LaidOut, root: Path, images: Iterable[Image] | None = None, tables: str = "") -> Path:
    """`downloader.py --download_folder root` of upstream, and the tables that someone put into the folder `tables`."""
    for split, chosen in _by_split(upstream, images):
        for image in chosen:
            _write(root / f"{image.id}.jpg", image.data)
        for path in (_images_table(split), _boxes_table(split)):
            _write(root / tables / path.rpartition("/")[2], _table(upstream, path))
    for path in ("v7/oidv7-class-descriptions-boxable.csv", "2018_04/bbox_labels_600_hierarchy.json"):
        _write(root / tables / path.rpartition("/")[2], _table(upstream, path))
    return root


def datumaro(upstream: LaidOut, root: Path, images: Iterable[Image] | None = None) -> Path:
    """A directory as datumaro's `open_images` format wants it, filled with upstream's files; sizes in `images.meta`."""
    sizes = []
    for split, chosen in _by_split(upstream, images):
        for image in chosen:
            _write(root / f"images/{split}/{image.id}.jpg", image.data)
            width, height = _size(image)
            sizes.append(f"{image.id} {height} {width}\n")
            for name, data in image.masks.items():
                _write(root / f"masks/{split}/{name}", data)
        human = "v6/oidv6-train-annotations-human-imagelabels.csv"
        for path in (
            _images_table(split),
            _boxes_table(split),
            f"v5/{split}-annotations-object-segmentation.csv",
            human if split == "train" else f"v5/{split}-annotations-human-imagelabels.csv",
        ):
            _write(root / "annotations" / path.rpartition("/")[2], _table(upstream, path))
    for path in ("v6/oidv6-class-descriptions.csv", "2018_04/bbox_labels_600_hierarchy.json"):
        _write(root / "annotations" / path.rpartition("/")[2], _table(upstream, path))
    _write(root / "annotations/images.meta", "".join(sizes).encode())
    return root


def _by_split(upstream: LaidOut, images: Iterable[Image] | None) -> list[tuple[str, list[Image]]]:
    chosen = list(upstream.images if images is None else images)
    found = [(split, [image for image in chosen if image.split == split]) for split in _SPLITS]
    return [(split, some) for split, some in found if some]


def _images_table(split: str) -> str:
    return f"2018_04/{split}/{split}-images{'-boxable' if split == 'train' else ''}-with-rotation.csv"


def _boxes_table(split: str) -> str:
    return "v6/oidv6-train-annotations-bbox.csv" if split == "train" else f"v5/{split}-annotations-bbox.csv"


def _table(upstream: LaidOut, path: str) -> bytes:
    return (upstream.root / TABLES / path).read_bytes()


def _rows(upstream: LaidOut, path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_table(upstream, path).decode(), newline="")))


def _classes(upstream: LaidOut) -> list[tuple[str, str]]:
    rows = csv.reader(io.StringIO(_table(upstream, "v5/class-descriptions-boxable.csv").decode(), newline=""))
    return [(mid, name) for mid, name in rows]


def _boxable_labels(upstream: LaidOut, split: str) -> bytes:
    """`v5/{split}-annotations-human-imagelabels-boxable.csv`: the labels of the classes that have boxes."""
    human = "v6/oidv6-train" if split == "train" else f"v5/{split}"
    header, *rows = _table(upstream, f"{human}-annotations-human-imagelabels.csv").splitlines(keepends=True)
    mids = {mid.encode() for mid, _ in _classes(upstream)}
    return b"".join([header, *(row for row in rows if row.split(b",")[2] in mids)])


def _renamed(node: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    below: dict[str, Any] = {
        key: [_renamed(one, names) for one in node[key]] for key in ("Subcategory", "Part") if key in node
    }
    return {**node, "LabelName": names[node["LabelName"]], **below}


def _having(
    upstream: LaidOut, split: str, rows: Iterable[dict[str, str]], mid: str
) -> list[tuple[Image, list[dict[str, str]]]]:
    """The images of a split with a box of a class, and these boxes."""
    boxes: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if row["LabelName"] == mid:
            boxes.setdefault(row["ImageID"], []).append(row)
    return [(image, boxes[image.id]) for image in upstream.of(split) if image.id in boxes]


def _in_pixels(image: Image, box: dict[str, str]) -> str:
    """Left, top, right and bottom as Python prints the products."""
    width, height = _size(image)
    corners = (("XMin", width), ("YMin", height), ("XMax", width), ("YMax", height))
    return " ".join(str(float(box[name]) * length) for name, length in corners)


def _size(image: Image) -> tuple[int, int]:
    from PIL import Image as Pillow

    return Pillow.open(io.BytesIO(image.data)).size


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def _append(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(text)
