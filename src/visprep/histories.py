"""What the steps of a place become when files come to it from another, and what people did between two steps."""

from __future__ import annotations

from collections.abc import Iterable

from visprep.manifest import Change, File, diff
from visprep.provenance import Step


def edits_by_hand(listed: Iterable[File], files: Iterable[File]) -> dict[str, int]:
    """What someone changed by hand since the manifest was written: how many files were removed, added, changed."""
    names = {Change.MISSING: "removed", Change.EXTRA: "added", Change.SIZE: "changed", Change.CONTENT: "changed"}
    counts: dict[str, int] = {}
    for difference in diff(listed, files):
        if difference.change in names:
            name = names[difference.change]
            counts[name] = counts.get(name, 0) + 1
    return counts


def merged(before: tuple[Step, ...], steps: tuple[Step, ...], *, alone: bool) -> tuple[Step, ...]:
    """The steps of the target after `steps` came to it.

    A target that holds nothing but the origin's files (`alone`) has the origin's history and no other. Else what the
    target did not have comes after what it had. A step that both have is told as the target tells it.
    """
    told = tuple(next((old for old in before if old.same_request(step)), step) for step in steps)
    return told if alone else before + tuple(step for step in told if step not in before)
