"""Files at the output of a conversion that are not of it: readers would take them for a part of the dataset."""

from __future__ import annotations

from collections.abc import Iterable

from visprep.changes import PlaceChange, present_files
from visprep.errors import AWAY, WouldOverwrite
from visprep.formats.directories import set_aside
from visprep.render.text import counted
from visprep.stores import Store

__all__ = ["strays"]


def strays(target: Store, change: PlaceChange, planned: Iterable[str]) -> tuple[str, ...]:
    """What there is to say of files that visprep did not write, and that `planned` does not name.

    WouldOverwrite unless the same was converted there before, and somebody added to it since. Hidden files do not
    count.
    """
    steps = (*(change.dataset.steps if change.dataset else ()), *((change.begun,) if change.begun else ()))
    ours = any(step.same_request(change.step) for step in steps)
    found = {
        file.path
        for file in present_files(target)
        if not set_aside(file.path) and not (ours and change.known(file.path))
    }
    if found:
        found.difference_update(planned)
    if found and not ours:
        raise WouldOverwrite.of(target.place, sorted(found), AWAY)
    if not found:
        return ()
    words = f"{counted(len(found), 'file')} that visprep did not write {'lies' if len(found) == 1 else 'lie'} here, too"
    return (f"{words}: {min(found)}{' for one' * (len(found) > 1)}",)
