"""Files that a step was given, written anew from what is recorded of them: ids, checksums, a map of classes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from visprep.ancestors import IDS
from visprep.errors import VisprepError
from visprep.lists import numbers_in, split_images_in
from visprep.provenance import Step
from visprep.sources import Archive
from visprep.stores.arrivals import disk_errors

__all__ = ["checksums_text", "ids_text", "write"]


def ids_text(step: Step, origins: Mapping[str, str]) -> str | None:
    """The ids that a download was given, as their digest is taken; None where nobody knows them."""
    if (file := origins.get(IDS)) is None:
        found = step.origin.get(IDS)
        return found if isinstance(found, str) else None
    with contextlib.suppress(VisprepError):
        if step.source == "open-images":
            images = split_images_in(file, "origin ids")
            return " ".join(f"{split}/{one}" for split, ids in sorted(images.items()) for one in sorted(ids))
        return " ".join(map(str, numbers_in(file, "origin ids") or ()))
    return ""


def checksums_text(step: Step) -> str | None:
    """The checksums that a download was given, as sha256sum and md5sum write them; None where it was given none."""
    if not step.origin.get("checksums"):
        return None
    lines = []
    for path, told in step.origin.get("archives", {}).items():
        digests = [told[name] for name in ("sha256", "md5") if name in told]
        lines += [f"{digest}  {Archive(path).name}.zip\n" for digest in digests]
    return "".join(lines)


def write(folder: Path, name: str, text: str) -> str:
    """A file with that text; its path."""
    path = folder / name
    with disk_errors(os.fspath(path)):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return os.fspath(path)
