"""Whether a conversion may go where something was converted before: the same goes on, anything else is refused."""

from __future__ import annotations

from visprep.changes import PlaceChange, present_files
from visprep.errors import PlaceIncomplete, WouldOverwrite
from visprep.provenance import Step
from visprep.stores import Store

__all__ = ["check_same"]

#: Commands that bring a dataset of their own to a place.
_BRINGING = frozenset({"convert", "download", "split"})


def check_same(change: PlaceChange, target: Store) -> None:
    """WouldOverwrite when another dataset lies at a place, PlaceIncomplete when another was begun there and not ended.

    Where it is of the same source, how the two differ is told.
    """
    step, begun = change.step, change.begun
    steps = change.dataset.steps if change.dataset else ()
    others = [one for one in steps if one.command in _BRINGING and not one.same_request(step)]
    hint = f"choose another --output, or delete {target.place} first"
    for one in others:
        if apart := _differing(one, step):
            raise WouldOverwrite(f"{target.place}: {_name(one)} was converted here before, {apart}", hint=hint)
    change.refuse((one.source for one in others), "choose another --output")
    if begun and not begun.same_request(step) and (change.notes or present_files(target)):
        if apart := _differing(begun, step):
            words = f"{target.place}: an unfinished '{begun.command} {begun.source}' lies here, {apart}"
            raise PlaceIncomplete(words, hint=f"finish it with the same options, {hint}")
        raise change.unfinished(begun)  # some files of it nobody had time to note


def _differing(one: Step, now: Step) -> str:
    """How two conversions of the same source differ, in words; empty where they are not such."""
    if (one.command, one.source) != (now.command, now.source):
        return ""
    told = one.other_options(now)
    return f"in another way: {told}" if told else ""


def _name(one: Step) -> str:
    return one.source.rstrip("/")
