"""The rules of files: what a place's own record says against what the place holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from visprep.findings import Finding, Level
from visprep.manifest import DATASET, Change, Difference
from visprep.rules import Depth, Rule
from visprep.stores import is_record

FILE_CHANGED = Rule(
    "file-changed",
    Level.ERROR,
    Depth.CONTENT,
    "A file has the size that the manifest names, and other bytes.",
    "It was damaged or edited after it was written; results on it cannot be compared with those on the original.",
    "remove it, then run the command that made this place again: it makes what is missing",
    bad="One letter of prompt.txt was replaced by another.",
    near="prompt.txt was touched: it has another date and the same bytes.",
)
FILE_MISSING = Rule(
    "file-missing",
    Level.ERROR,
    Depth.NAMES,
    "A file that the manifest lists is not there.",
    "Training stops there, or silently works on less.",
    "run the command that made this place again: it makes what is missing",
    bad="The manifest lists t0/final_frame.png, and somebody deleted it.",
    near="A directory that held no file is gone.",
)
FILE_SIZE = Rule(
    "file-size",
    Level.ERROR,
    Depth.SIZES,
    "A file has another size than the manifest names.",
    "It was cut off, damaged or edited after it was written.",
    "remove it, then run the command that made this place again: it makes what is missing",
    bad="The manifest says 31,614 bytes of first_frame.png; a full disk left 16,384.",
    near="A file of the size that the manifest names.",
)
FILE_UNLISTED = Rule(
    "file-unlisted",
    Level.NOTE,
    Depth.NAMES,
    "A file is there that the manifest does not list.",
    "visprep did not write it, and cannot tell whether it is whole.",
    "move it out of the place, if it does not belong there",
    bad="Somebody copied a task of their own into the place after the download.",
    near="dataset.json and what lies in `.visprep`: the manifest speaks of data alone.",
)
FILE_UNREADABLE = Rule(
    "file-unreadable",
    Level.ERROR,
    Depth.CONTENT,
    "A file is listed and cannot be read.",
    "What it holds is not known.",
    "see to it that the file can be read, then verify again",
    bad="final_frame.png is on the list, and a link that leads to nowhere.",
    near="A file that may be read and not be written.",
)
MANIFEST_DAMAGED = Rule(
    "manifest-damaged",
    Level.ERROR,
    Depth.NAMES,
    "The manifest of the place cannot be read.",
    "Without it nobody can tell whether files are missing or damaged.",
    "delete the manifest and run the command that made this place again",
    bad="The manifest was cut off in the middle of a line.",
    near="There is no manifest: then nothing is held against one.",
)
PLACE_INCOMPLETE = Rule(
    "place-incomplete",
    Level.ERROR,
    Depth.NAMES,
    "A command that changes the place was begun and has not ended.",
    "Files may be missing, and the manifest may not belong to what is there.",
    "run that command again; it goes on where it stopped",
    bad="A download was killed: `.visprep/in-progress` is there.",
    near="`.visprep/journal.jsonl` is there: an upload from here failed for some files.",
)

RULES: tuple[Rule, ...] = (
    FILE_CHANGED,
    FILE_MISSING,
    FILE_SIZE,
    FILE_UNLISTED,
    FILE_UNREADABLE,
    MANIFEST_DAMAGED,
    PLACE_INCOMPLETE,
)
_DEPTHS = {rule.code: rule.depth for rule in RULES}


def check(differences: Iterable[Difference], depth: Depth = Depth.CONTENT) -> Iterator[Finding]:
    """What `manifest.diff(manifest, listing)` means: a finding for each path that differs visibly at `depth`.

    Where a digest is missing on either side, and the sizes agree, there is nothing to say. visprep's own record and
    empty directories are passed over.
    """
    for difference in differences:
        finding = _finding(difference)
        if finding and depth.reaches(_DEPTHS[finding.code]):
            yield finding


def _finding(difference: Difference) -> Finding | None:
    path, want, have = difference.path, difference.want, difference.have
    if difference.change is Change.MISSING:
        size = "" if want is None or want.size is None else f" with {want.size} bytes"
        return FILE_MISSING.at(path, f"the manifest lists it{size}, and it is not there")
    if difference.change is Change.EXTRA:
        if is_record(path) or path == DATASET or path.endswith("/"):
            return None
        return FILE_UNLISTED.at(path, "it is not in the manifest")
    if want is None or have is None:
        return None
    if difference.change is Change.SIZE:
        wrong = f"it has {have.size} bytes, the manifest says {want.size}"
        return FILE_SIZE.at(path, wrong, expected=want.size, actual=have.size)
    if difference.change is Change.CONTENT:
        wrong = f"it has the digest {have.digest}, the manifest says {want.digest}"
        return FILE_CHANGED.at(path, wrong, expected=want.digest, actual=have.digest)
    return None
