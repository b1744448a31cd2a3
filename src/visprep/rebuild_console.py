"""What people see of a rebuild: its steps, whether the same came of it, and what did not."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from visprep.console import Screen, out_json, out_line, plain
from visprep.render.text import counted, printable

if TYPE_CHECKING:
    from visprep.rebuilding import RebuildResult

#: Files that are named in words; JSON has more.
_SHOWN = 20


def show_rebuild(shown: Screen, result: RebuildResult, *, as_json: bool) -> bool:
    """What came of it, to stdout; whether it is not the same, does not lie there as recorded, or cannot be made."""
    if as_json:
        out_json({**plain(result), "repeatable": result.repeatable})
    else:
        for note in (*(f"made with {one}" for one in result.versions), *result.notes):
            shown.say(f"note: {note}")
        for line in _steps(result) if result.same is None else _outcome(result):
            out_line(line)
    return result.same is False or bool(result.astray) or (result.same is None and not result.repeatable)


def _steps(result: RebuildResult) -> Iterator[str]:
    """What a dry run says: every step in the order in which it would be done."""
    for step in result.steps:
        yield f"{'cannot be repeated' if step.why else 'would do'}: {step.command}"
        if step.why:
            yield f"  {step.why}"


def _outcome(result: RebuildResult) -> Iterator[str]:
    yield from _lying(result)
    if result.same:
        made = f"{counted(result.files or 0, 'file')}, {result.rebuilt}"
        if result.astray:
            yield f"not the same: {_in_place(result)}; what was made is as recorded: {made}"
        else:
            yield f"the same: {made}, as recorded{_compared_with(result)}"
        return
    for one in result.changed:
        yield f"upstream changed: {one.message} [{one.reason}]"
    also = f"; {_in_place(result)}" if result.astray else ""
    if result.rebuilt is None:
        yield f"not the same: it cannot be made again; {result.recorded} is recorded{also}"
        return
    for file in result.apart[:_SHOWN]:
        yield _line(file.change, file.path, file.recorded, file.rebuilt, "now")
    if result.differing is not None and result.differing > _SHOWN:
        yield f"and {counted(result.differing - _SHOWN, 'more file')}; --json names 10,000"
    what = "which files differ is not known without its manifest" if result.differing is None else ""
    what = what or f"{counted(result.differing or 0, 'file')} of {result.files or 0:,} differ"
    yield f"not the same: {what}; {result.recorded} is recorded, {result.rebuilt} was made{also}"


def _lying(result: RebuildResult) -> Iterator[str]:
    """The files of the place that are not as recorded."""
    for file in result.lying[:_SHOWN]:
        path = f"{(result.place or '').rstrip('/')}/{file.path}"
        yield _line(file.change, path, file.recorded, file.lying, "there")
    if (result.astray or 0) > _SHOWN:
        yield f"and {counted((result.astray or 0) - _SHOWN, 'more file')} there; --json names 10,000"


def _in_place(result: RebuildResult) -> str:
    count = result.astray or 0
    return f"{counted(count, 'file')} in {result.place} {'is' if count == 1 else 'are'} not as recorded"


def _compared_with(result: RebuildResult) -> str:
    """What of the place was held against the record, and how the rest can be."""
    if result.place is None:
        return ""
    look = shlex.join(["visprep", "verify", result.place, "--depth", "content"])
    if result.astray is None:
        return f"; the files in {result.place} were not read: {look}"
    if result.unread:
        return f"; of the files in {result.place}, {result.unread:,} have the recorded size and were not read: {look}"
    return f", and as the files in {result.place} are"


def _line(change: str, path: str, recorded: int | None, found: int | None, when: str) -> str:
    sizes = f"{_bytes(recorded)} recorded, {_bytes(found)} {when}"
    if change == "changed" and recorded == found:
        sizes = f"other bytes {when}, {_bytes(found)}"
    return f"{change:<8} {printable(path)}  ({sizes})"


def _bytes(size: int | None) -> str:
    return "not" if size is None else f"{size:,} bytes"
