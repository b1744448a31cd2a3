"""What lies in the directories of parts and is in none: whose it may be, and whether the input has the same bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np

from visprep.changes import PlaceChange
from visprep.errors import UsageError, VisprepError
from visprep.known_files import sha256_of
from visprep.manifest import File
from visprep.partition import parse_parts
from visprep.recordsets import RecordSet
from visprep.rules.image_files import is_image
from visprep.stores import Store

#: The ways to write parts that make files in their directories.
FILED = frozenset({"links", "copies"})
#: A part that there is not, to ask for the files of all records.
_ANY = "any"


def unfinished_parts(change: PlaceChange, recordset: RecordSet) -> frozenset[str]:
    """The parts into whose directories splits may have written that were begun at the place and did not end.

    What such a split finished it has noted, but for its last files: a kill leaves some that nobody lists.
    """
    found: set[str] = set()
    for step in change.attempts:
        if step.command == "split" and step.options.get("how") in FILED:
            with contextlib.suppress(UsageError):  # a marker of another version
                found.update(parse_parts(str(step.options.get("parts"))).names)
            found.update(part for part in recordset.parts if part)
    if found:
        found.update(file.path.partition("/")[0] for file in change.finished() if "/" in file.path)
    return frozenset(found)


class Origins:
    """The files of all records, by the name that each has below the directory of whatever part it is in."""

    def __init__(self, recordset: RecordSet) -> None:
        self._recordset = recordset

    @cached_property
    def _by_name(self) -> Mapping[str, list[tuple[Store, File]]]:
        found: dict[str, list[tuple[Store, File]]] = {}
        everything = {_ANY: np.ones(len(self._recordset.keys), np.bool_)}
        for output in self._recordset.outputs(everything, None, "copies"):
            if output.source:
                found.setdefault(output.path.partition("/")[2], []).append(output.source)
        return found

    def meant(self, path: str) -> bool:
        """Whether a file in the directory of a part would be taken for one of a record: by its name, or as an image."""
        return is_image(path) or path.partition("/")[2] in self._by_name

    def held(self, files: Mapping[str, str | None]) -> Iterator[str]:
        """Those of files in directories of parts, given with their digests, whose bytes the input has by that name."""
        for path, digest in files.items():
            for store, file in self._by_name.get(path.partition("/")[2], ()):
                with contextlib.suppress(VisprepError):
                    if digest and sha256_of(file, store) == digest:
                        yield path
                        break
