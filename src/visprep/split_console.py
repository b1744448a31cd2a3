"""What people see of a split: its parts, the classes that came out worst, and what is in none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from visprep.console import Screen, out_json, out_line
from visprep.render.text import counted

if TYPE_CHECKING:
    from visprep._split import SplitResult
    from visprep.split_file import Split

#: Classes, findings and moves that are told one by one.
_CLASSES, _FINDINGS, _MOVES = 5, 20, 5
#: Images that a class must have to be told of among the worst: of fewer, one image more or less is many points.
_ENOUGH = 20


def show_split(shown: Screen, result: SplitResult, *, as_json: bool) -> None:
    """What a split did: in words to stdout, or as JSON; the members of the parts stand in split.json."""
    if as_json:
        out_json(as_plain(result))
        return
    for line in _lines(result):
        out_line(line)
    for hint in _hints(result):
        shown.say(hint)


def as_plain(result: SplitResult) -> dict[str, Any]:
    """The result as plain data, without the members."""
    import msgspec

    told = msgspec.to_builtins(result)
    if told["split"]:
        del told["split"]["members"]
    return dict(told)


def _lines(result: SplitResult) -> Iterator[str]:
    if (split := result.split) is None:
        yield f"{result.output}: nothing was written, since leaving out records does not mend this:"
        yield from _findings(result)
        return
    done = "all is there already, nothing was written"
    if result.recorded:
        done = f"{counted(len(result.written), 'file')} written, {len(result.kept):,} kept"
        if not (result.written or result.removed or result.files_written or result.files_removed):
            done = "all is there already, and recorded as it is now"
    yield f"{result.output}: {counted(split.records, 'record')}, --method {split.method}; {done}"
    yield from _parts(split)
    yield from _classes(split)
    if result.files_written or result.files_kept:
        yield f"{split.how}: {result.files_written:,} made, {result.files_kept:,} there already"
    gone = len(result.removed) + result.files_removed
    if gone:
        yield f"removed: {counted(gone, 'file')} of the split that lay here before"
    left = split.left_out
    for what, counts in (("record", left.records), ("annotation", left.annotations)):
        if counts:
            told = ", ".join(f"{count:,} {why}" for why, count in counts.items())
            yield f"left out: {counted(sum(counts.values()), what)} ({told})"
    if split.group_by or split.near_duplicates:
        alone = f"; {split.ungrouped:,} without {split.group_by} stand alone" if split.ungrouped else ""
        torn = sum(one.where.get("kind") == "group" for one in result.findings)
        apart = f", {torn:,} in several parts all the same" if torn else ""
        yield f"kept together: {counted(result.together - torn, 'group')} of several records{apart}{alone}"
    if split.near_duplicates:
        yield f"pictures compared: {result.compared:,}"
    if result.uncompared:
        yield f"not compared, since they are not there, or cannot be read: {counted(result.uncompared, 'picture')}"
    if split.moved:
        yield f"moved since the split before: {counted(len(split.moved), 'record')}"
        for move in split.moved[:_MOVES]:
            yield f"  {move.key}: {move.from_} -> {move.to or 'none'} ({move.why})"
        if len(split.moved) > _MOVES:
            yield f"  and {len(split.moved) - _MOVES:,} more, see split.json"
    for note in result.notes:
        yield f"note: {note}"
    yield from _findings(result)


def _parts(split: Split) -> Iterator[str]:
    for part in split.parts:
        asked = (
            "stays" if part.asked is None else f"asked {part.asked:g}" if part.asked < 1 else f"asked {part.asked:,}"
        )
        share = "" if part.share is None or part.asked is None else f", {part.share:.2%}"
        yield f"  {part.name:<12}{part.records:>12,}  ({asked}{share})"


def _classes(split: Split) -> Iterator[str]:
    enough = [one for one in split.classes if one.records >= _ENOUGH]
    worst = sorted(enough, key=lambda one: (-one.error, one.name))[:_CLASSES]
    if worst:
        told = ", ".join(f"{one.name} {one.error:.2f} ({one.records:,})" for one in worst)
        yield f"classes farthest from their share, in percentage points: {told}"


def _findings(result: SplitResult) -> Iterator[str]:
    for one in result.findings[:_FINDINGS]:
        yield f"{one.level.value}: {one.path}: {one.message} [{one.code}]"
    if len(result.findings) > _FINDINGS:
        yield f"and {len(result.findings) - _FINDINGS:,} more findings: see --json, or split.json"


def _hints(result: SplitResult) -> Iterator[str]:
    split = result.split
    codes = {one.code for one in result.findings}
    if split and split.tying:
        yield "hint: --clean leaves out new records that tie two parts together"
    elif "leak-across-parts" in codes:
        yield "hint: these had their parts already, which they keep; a split without --extend puts them together"
    if split and split.clean:
        return
    if codes & {"image-not-compared", "image-missing"}:
        yield "hint: --clean leaves out images that are not there, or cannot be read"
