"""What people see of conversions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from visprep.console import Screen, out_json, plain
from visprep.copies_console import show_boxes
from visprep.errors import Incomplete
from visprep.findings import Finding
from visprep.render.text import counted

if TYPE_CHECKING:
    from visprep.converting import ConvertResult

#: What people call the kinds of places.
_NAMES = {
    "coco": "COCO",
    "frames": "image sequences",
    "parquet": "Parquet",
    "tasks": "task directories",
    "videos": "videos",
    "voc": "Pascal VOC",
    "webdataset": "a WebDataset",
    "yolo": "YOLO",
}


def show_convert(shown: Screen, result: ConvertResult, *, as_json: bool) -> None:
    """What a conversion did, and what of it was lost: in words to stderr, or as JSON to stdout."""
    if as_json:
        out_json(plain(result))
        return
    if result.refused:
        shown.say(f"{result.target}: nothing was written, since {result.to} cannot carry all of {result.origin}")
        _show_losses(shown, result.findings)
        return
    files = f"{counted(result.files, 'file')} written, {result.kept:,} kept"
    kind = _NAMES.get(result.kind) or f"a directory of {result.kind}"
    shown.say(f"{result.target}: {files}; {result.origin} is {kind}")
    for split, count in result.images.items():
        if split not in result.boxes:
            shown.say(f"note: {split}: {counted(count, 'image')}")
    show_boxes(shown, result.boxes)
    if result.copied:
        shown.say(f"note: {counted(result.copied, 'file')} copied: there can be no hard links to them from there")
    for what in result.notes:
        shown.say(f"note: {what}")
    if result.findings:
        _show_losses(shown, result.findings)
        return
    by_count: dict[int, list[str]] = {}
    for name, count in result.losses.items():
        by_count.setdefault(count, []).append(name)
    for count, names in sorted(by_count.items()):
        shown.say(f"note: not told of {counted(count, 'record')}: {', '.join(names)}")


@contextlib.contextmanager
def rest_told(shown: Screen, as_json: bool) -> Iterator[None]:
    """Tells, too, what came of the rest when some files of a conversion inside the block failed."""
    try:
        yield
    except Incomplete as problem:
        result: ConvertResult | None = getattr(problem, "result", None)
        if result:
            show_convert(shown, result, as_json=as_json)
        raise


def _show_losses(shown: Screen, findings: Iterable[Finding]) -> None:
    for finding in findings:
        shown.say(f"{finding.level.value}: {finding.message} [{finding.code}]")
