"""How the places were made that a conversion or a split took: without that, nobody could do it again.

A step in `dataset.json` that took other places says under `made_from` of its `origin` how these had come to be, as
their own `dataset.json` said it then. A list of ids that a download was given stands there too, since the file that it
came in is one machine's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from visprep.errors import BadRecord
from visprep.manifest import DATASET
from visprep.provenance import Dataset, Step

__all__ = ["EXTENDED", "IDS", "MADE_FROM", "MERGED", "REPLACED", "Ancestor", "recorded_ids", "replaced", "told"]

#: What they are called in `origin`: the places that were taken, the files that joined (`--merge`), the split that was
#: extended, and the one that lay there before and that this one tells what moved since.
MADE_FROM, MERGED, EXTENDED, REPLACED = "made_from", "merged", "extended", "replaced"
#: The ids that were asked for, with blanks in between.
IDS = "ids"
#: Characters of them that are recorded at most: a `dataset.json` is read whole, and often.
_LONGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A place that something was made from: what it is called, the `paths` in it that were taken, and its history.

    A path that is empty means all of it. `files` is the digest of its file list. Both that and `steps` are empty where
    the place had no record of visprep's.
    """

    name: str
    paths: tuple[str, ...] = ("",)
    files: str = ""
    steps: tuple[Step, ...] = ()

    @property
    def plain(self) -> dict[str, Any]:
        """The same as JSON has it."""
        history = {"files": self.files, "steps": [step.plain for step in self.steps]} if self.steps else {}
        plain: dict[str, Any] = json.loads(json.dumps({"name": self.name, "paths": list(self.paths), **history}))
        return plain

    @classmethod
    def from_json(cls, value: Any) -> Ancestor:
        """What `plain` gave; KeyError, TypeError or ValueError when it is something else."""
        paths = tuple(value["paths"])
        for text in (value["name"], value.get("files", ""), *paths):
            if not isinstance(text, str):
                raise TypeError(f"{text!r} is no text")
        if any(path.startswith("/") or ".." in path.split("/") for path in paths):
            raise ValueError(f"{paths} leave the place")
        steps = tuple(Step.from_json(step) for step in value.get("steps", ()))
        return cls(value["name"], paths, value.get("files", ""), steps)


def replaced(name: str, before: Dataset | None, now: Step) -> tuple[Ancestor, ...]:
    """The split that is replaced by another one, without what that one had replaced: it says nothing of that.

    BadRecord when what lay there says that it had replaced something, and nothing can be made of that.
    """
    steps = [step for step in (before.steps if before else ()) if step.command == "split"]
    if not before or not steps:
        return ()
    last = steps[-1]
    if last.same_request(now):  # it is done again, and says what it said
        try:
            return tuple(map(Ancestor.from_json, last.origin.get(REPLACED, ())))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            words = f"{name}: {DATASET} was not written by this version of visprep ({REPLACED!r}: {error})"
            raise BadRecord(words, hint="move it away, or name another directory") from None
    origin = {key: value for key, value in last.origin.items() if key != REPLACED}
    return (Ancestor(name, ("",), before.files, (replace(last, origin=origin),)),)


def told(**found: Iterable[Ancestor]) -> dict[str, Any]:
    """What `origin` says of these; nothing where none of them has a history."""
    lists = {key: list(ancestors) for key, ancestors in found.items()}
    if not any(one.steps for ancestors in lists.values() for one in ancestors):
        return {}
    return {key: [one.plain for one in ancestors] for key, ancestors in lists.items() if ancestors}


def recorded_ids(text: str | None) -> Mapping[str, str]:
    """What `origin` says of a list of ids, the same text that its digest is taken of; nothing of one that is long."""
    return {IDS: text} if text is not None and len(text) <= _LONGEST else {}
