"""The members of split.json held against the records that are in the parts: each record stands for one member."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from visprep.formats import episodes, tasks, triplets
from visprep.formats.directories import set_aside, without_part
from visprep.manifest import File
from visprep.rules.image_files import is_image
from visprep.split_file import Split


class Matched:
    """Members and records, one to one: `lacking` are members, `strange` records that are none, by part.

    `there` are the keys of the records of each part. Linked and copied records are called by their paths below the
    place of the split, and maybe with what the path of their input said, and without the part that they were in.
    """

    def __init__(self, split: Split, there: Mapping[str, Iterable[str]]) -> None:
        self._labels = tuple(f"{one.label}/" for one in split.inputs if one.label)
        self.lacking = {part: set(keys) for part, keys in split.members.items()}
        self.strange = {part: set(there.get(part, ())) for part in split.members}
        for part in split.members:
            self._match(part, part)

    def nowhere(self) -> Iterator[tuple[str, str]]:
        """The members, with their parts, that no part has any more."""
        for part in self.lacking:
            for other in self.strange:
                self._match(part, other)
        return ((part, key) for part, keys in self.lacking.items() for key in sorted(keys))

    def _match(self, part: str, other: str) -> None:
        """Use up each match; the longest keys first, for that a shorter one may be the end of a longer one."""
        for bare in (False, True):
            members, records = self.lacking[part], self.strange[other]
            for key in sorted(members & records) if not bare else ():
                members.discard(key)
                records.discard(key)
            ends: dict[str, list[str]] = {}
            for record in sorted(records, reverse=True):
                for at, letter in enumerate(record):
                    if letter == "/":
                        ends.setdefault(record[at + 1 :], []).append(record)
                ends.setdefault(record, []).append(record)
            for end, key in sorted(
                ((self._bare(key) if bare else key, key) for key in members), key=lambda pair: (-len(pair[0]), pair)
            ):
                known = ends.get(end, [])
                while known and known[-1] not in records:
                    known.pop()
                if known:
                    records.discard(known.pop())
                    members.discard(key)

    def _bare(self, key: str) -> str:
        """A key without the label of its input, or the part that its record was in before."""
        label = next((one for one in self._labels if key.startswith(one)), "")
        return key.removeprefix(label) if label else without_part(key, key)


def linked(kind: str, listing: Iterable[File]) -> Iterator[str]:
    """The records of a kind, other than COCO, that lie in a place: by their paths, as members are called."""
    if kind == "tasks":
        return (one.path for one in tasks.find(listing).directories if one.files)
    if kind == "vton":
        return (one.key for one in triplets.find(listing) if one.files)
    if kind == "frames":
        return (one.path for one in episodes.find(listing) if one.frames)
    return (file.path for file in listing if is_image(file.path) and not set_aside(file.path))
