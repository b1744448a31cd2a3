"""COCO to COCO: every annotation file of a place, or one, with its images, and all that it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from visprep import provenance
from visprep.convert_output import writing
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.copy_ends import name_of
from visprep.recordsets import coco
from visprep.recordsets.coco_files import CocoFile
from visprep.renamed import Renamed
from visprep.stores.local import LocalStore

__all__ = ["convert"]


def convert(origin: Origin, target: LocalStore, wish: Wish) -> ConvertResult:
    """See `visprep.convert`."""
    files = coco.read([origin.given], wish.s3).files
    options = {"from": "coco", **wish.options, **({"file": origin.file} if origin.file else {})}
    inputs = {file.file.path: file.digest for file in files}
    step = provenance.step("convert", name_of(origin.store), options=options, origin={"inputs": inputs})
    losses = Losses(wish.to)
    with writing(target, step, jobs=wish.jobs, progress=wish.progress) as output:
        for file in files:
            output.document(file.file.path, _Same(file))
        for file in files:
            output.plan(partial(_images, file))
        output.put(losses, lossless=wish.lossless)
    return ConvertResult(
        origin.given,
        target.place,
        wish.to,
        "coco",
        files=output.written,
        linked=output.linked,
        kept=output.kept,
        images={file.file.path: len(file.record) for file in files},
        losses=dict(losses.counts),
        findings=tuple(losses.findings()),
    )


def _images(file: CocoFile) -> Iterator[Renamed]:
    for row in range(len(file.record)):
        if there := file.image(row):
            yield Renamed(there.path, file.home.store, there)


@dataclass(frozen=True, slots=True)
class _Same:
    """An annotation file as it is."""

    file: CocoFile

    def write(self, path: Path) -> None:
        with path.open("wb") as out:
            out.writelines(self.file.file.index.file.chunks())
