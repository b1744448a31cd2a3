"""How two split.json differ: which record is in another part."""

from __future__ import annotations

from collections.abc import Iterator

from visprep import split_file
from visprep.differences import SplitDifference


def differences(a: bytes, b: bytes, path: str) -> Iterator[SplitDifference]:
    """The records that are in another part, or in one only on one side, by name; BadRecord for what is no split."""
    was, now = (split_file.load(data, path).part_of() for data in (a, b))
    for record in sorted(was.keys() | now.keys()):
        before, after = was.get(record), now.get(record)
        if before != after:
            change = "moved" if before and after else "removed" if before else "added"
            yield SplitDifference(change, path, record, before, after)
