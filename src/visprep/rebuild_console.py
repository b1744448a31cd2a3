"""What people see of a rebuild: its steps, whether the same came of it, and what did not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from visprep.console import Screen, out_json, out_line, plain
from visprep.render.text import counted

if TYPE_CHECKING:
    from visprep.rebuilding import RebuildResult

#: Files that are named in words; JSON has more.
_SHOWN = 20


def show_rebuild(shown: Screen, result: RebuildResult, *, as_json: bool) -> bool:
    """What came of it, to stdout; whether it is not the same, or cannot be made at all."""
    if as_json:
        out_json({**plain(result), "repeatable": result.repeatable})
    else:
        for note in (*(f"made with {one}" for one in result.versions), *result.notes):
            shown.say(f"note: {note}")
        for line in _steps(result) if result.same is None else _outcome(result):
            out_line(line)
    return result.same is False or (result.same is None and not result.repeatable)


def _steps(result: RebuildResult) -> Iterator[str]:
    """What a dry run says: every step in the order in which it would be done."""
    for step in result.steps:
        yield f"{'cannot be repeated' if step.why else 'would do'}: {step.command}"
        if step.why:
            yield f"  {step.why}"


def _outcome(result: RebuildResult) -> Iterator[str]:
    if result.same:
        yield f"the same: {counted(result.files or 0, 'file')}, {result.rebuilt}"
        return
    for one in result.changed:
        yield f"upstream changed: {one.message} [{one.reason}]"
    if result.rebuilt is None:
        yield f"not the same: it cannot be made again; {result.recorded} is recorded"
        return
    for file in result.apart[:_SHOWN]:
        sizes = f"{_bytes(file.recorded)} recorded, {_bytes(file.rebuilt)} now"
        yield f"{file.change:<8} {file.path}  ({sizes})"
    if result.differing is not None and result.differing > _SHOWN:
        yield f"and {counted(result.differing - _SHOWN, 'more file')}; --json names 10,000"
    what = "which files differ is not known without its manifest" if result.differing is None else ""
    what = what or f"{counted(result.differing or 0, 'file')} of {result.files or 0:,} differ"
    yield f"not the same: {what}; {result.recorded} is recorded, {result.rebuilt} was made"


def _bytes(size: int | None) -> str:
    return "not" if size is None else f"{size:,} bytes"
