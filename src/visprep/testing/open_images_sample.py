"""The sample in Open Images' shape as upstream has it: tables, masks and images, for a `Mirror` and a bucket."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from visprep.sources.open_images import OpenImages
from visprep.sources.sample_open_images import BOXABLE, COUNTS, TREE, draw, lists

__all__ = ["lay_out"]


def lay_out(root: Path) -> None:
    """Write it all below `root`: `openimages/` and `open-images-dataset/`, so that its address is a `--mirror`.

    The tar archives are not there: visprep holds them against the digests of upstream's.
    """
    source = OpenImages()
    tables, images = root / "openimages", root / source.bucket
    named = lists()
    for name, path in ((BOXABLE, source.class_list(["boxes"])), (TREE, source.hierarchy)):
        _write(tables / path, named.pop(name))
    for data in named.values():
        _write(tables / source.class_list(source.labels), data)
    for split in COUNTS:
        drawn = draw(split)
        for kind, data in drawn.tables().items():
            _write(tables / source.table(kind, split).path, data)
        for archive in source.mask_archives(split, drawn.masks):
            _write(tables / archive.path, _zip({path: drawn.masks[path] for path in sorted(archive.paths)}))
        for name, data in drawn.images.items():
            _write(images / split / f"{name}.jpg", data)


def _zip(files: dict[str, bytes]) -> bytes:
    """A zip file; one whose date is always the same."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2019, 5, 8, 0, 0, 0)), data)
    return written.getvalue()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
