"""COCO's web server in small: archives and single images in the official layout, as files for a `Mirror`."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from visprep.sources.sample_coco import Split, draw


def lay_out(root: Path, splits: Mapping[str, Split] | None = None) -> Path:
    """Write archives and single images as `images.cocodataset.org` has them; the path of their SHA256SUMS.

    `splits` are those of the sample unless given. Only the archives that the labels of the splits need are there.
    """
    annotations: dict[str, dict[str, bytes]] = {}
    for split, content in (draw() if splits is None else splits).items():
        pack(root / f"zips/{split}.zip", {f"{split}/{name}": data for name, data in content.images.items()})
        for name, data in content.images.items():
            _write(root / split / name, data)
        for label, data in content.labels.items():
            annotations.setdefault(_archive(label, split), {})[f"annotations/{label}_{split}.json"] = data
    for name, files in annotations.items():
        pack(root / f"annotations/{name}.zip", files, zipfile.ZIP_DEFLATED)
    return sums(root)


def sums(root: Path) -> Path:
    """Write SHA256SUMS anew for all archives below `root`; its path."""
    archives = sorted(root.glob("*/*.zip"))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in archives]
    file = root / "SHA256SUMS"
    file.write_text("".join(lines))
    return file


def pack(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    """Write a zip file; one whose date is always the same."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        folder = ""
        for name, data in files.items():
            if name.rpartition("/")[0] != folder:
                folder = name.rpartition("/")[0]
                archive.writestr(zipfile.ZipInfo(f"{folder}/", (2017, 9, 1, 0, 0, 0)), b"")
            archive.writestr(zipfile.ZipInfo(name, (2017, 9, 1, 0, 0, 0)), data, method)
    _write(path, written.getvalue())


def _archive(label: str, split: str) -> str:
    year = split[-4:]
    if label == "image_info":
        return f"image_info_{split}"
    lead = "" if label in ("instances", "captions", "person_keypoints") else f"{label}_"
    return f"{lead}annotations_trainval{year}"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
