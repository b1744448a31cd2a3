"""COCO JSON written anew from its own bytes: records that change in one number, and lists that join those of others.

What is not told to change stays byte for byte as it was: keys that nobody knows, digits, blanks and order.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np

from visprep.errors import WrongContent
from visprep.formats.coco_bytes import element_end, last_member
from visprep.formats.coco_json import Annotations, Images, Index, JsonFile, Mask
from visprep.formats.coco_parts import runs
from visprep.formats.coco_ranges import joined, stretch
from visprep.formats.coco_scan import BLOCK, Closed, Ints, Malformed, Opened, Records, Value, scan

__all__ = [
    "Edit",
    "Elements",
    "Key",
    "Member",
    "Piece",
    "Top",
    "encoded",
    "listed",
    "replaced",
    "rerooted",
    "together",
    "unrooted",
]

Key = Literal["images", "annotations"]
#: Changes the bytes of a record; it is told its number in the list, too.
Edit = Callable[[bytes, int], bytes]
#: Gives the elements of a list; it is told what stands between two.
Elements = Callable[[bytes], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Member:
    """A member at the top: its value is the bytes `begin` to `end`; of a list, its elements are `first` to `last`."""

    key: str
    begin: int
    end: int
    listed: bool
    first: int
    last: int
    count: int = 0


@dataclass(frozen=True)
class Top:
    """What a file holds at its top, and where; `held` are the elements of the lists that were asked for."""

    file: JsonFile
    members: tuple[Member, ...]
    held: Mapping[str, tuple[bytes, ...]]

    @classmethod
    def read(cls, file: JsonFile, hold: Callable[[str], bool]) -> Top:
        """Walk through a file, and keep the elements of the lists whose key `hold` takes; WrongContent as `index`."""
        found: list[Member] = []
        held: dict[str, list[bytes]] = {}
        begin = first = last = 0
        try:
            for event in scan(file.chunks(), {}):
                if isinstance(event, Opened):
                    begin, first, last = event.offset, event.offset + 1, event.offset + 1
                    if hold(event.key):
                        held[event.key] = []
                elif isinstance(event, Records):
                    first = first if event.first else event.offset
                    last = event.offset + len(event.data) - 2
                    if event.key in held:
                        held[event.key] += (data for _, data in event.elements())
                elif isinstance(event, Closed):
                    found.append(Member(event.key, begin, event.offset + 1, True, first, last, event.count))
                elif isinstance(event, Value):
                    end = event.offset + len(event.data)
                    found.append(Member(event.key, event.offset, end, False, event.offset, end))
        except Malformed as wrong:
            raise WrongContent(f"{file.name}: {wrong.message} (byte {wrong.offset})") from None
        return cls(file, tuple(found), {key: tuple(rows) for key, rows in held.items()})

    def member(self, key: str) -> Member | None:
        """The member of that key, None when there is none."""
        return next((one for one in self.members if one.key == key), None)

    def value(self, member: Member) -> bytes:
        """The bytes of a member's value."""
        return self.file.read(member.begin, member.end - member.begin)

    def gap(self, key: str) -> bytes:
        """What stands between two elements of a list, as it does between the first two there are."""
        for one in (self.member(key), *self.members):
            if one is not None and one.listed and one.count > 1:
                head = self.file.read(one.first, min(one.last - one.first, 9 * BLOCK))
                end = element_end(head, 0, whole=True) or 0
                gap = re.match(rb"[ \t\r\n]*,[ \t\r\n]*", head[end : end + 1000])
                if gap:
                    return gap[0]
        return b", "

    def chunks(
        self, lists: Mapping[str, Callable[[bytes], Iterator[bytes]]], more: Mapping[str, bytes]
    ) -> Iterator[bytes]:
        """The file with the elements of some lists in place of its own, and more members at its end.

        A function of `lists` is given the gap to put between two elements; it makes the list where there is none.
        """
        at = 0
        for one in self.members:
            if one.listed and one.key in lists:
                yield from stretch(self.file.read, at, one.first)
                yield from lists[one.key](self.gap(one.key))
                at = one.last
        end = self.members[-1].end if self.members else 1
        yield from stretch(self.file.read, at, end)
        comma = b", " if self.members else b""
        for key, make in lists.items():
            if self.member(key) is None:
                yield from itertools.chain([comma, encoded(key), b": ["], make(b", "), [b"]"])
                comma = b", "
        for key, value in more.items():
            yield b"".join((comma, encoded(key), b": ", value))
            comma = b", "
        yield from stretch(self.file.read, end, self.file.size)


@dataclass(frozen=True)
class Piece:
    """Some records of a file, and what changes in them.

    `numbers` are new values of a key, by list and key, for every record of the list; records whose value stays are as
    they were. `edits` change records otherwise, after that.
    """

    index: Index
    images: Mask
    annotations: Mask
    numbers: Mapping[tuple[Key, str], Ints] = field(default_factory=dict)
    edits: Mapping[Key, Sequence[Edit]] = field(default_factory=dict)

    def count(self, key: Key) -> int:
        """How many records of a list are in it."""
        return int((self.images if key == "images" else self.annotations).sum())

    def records(self, key: Key, gap: bytes) -> Iterator[bytes]:
        """The records of a list, with the gap between each two; nothing where none is left."""
        columns: Images | Annotations = self.index.images if key == "images" else self.index.annotations
        mask = self.images if key == "images" else self.annotations
        if not mask.any():
            return
        numbers = [(name, _column(columns, name), new) for (of, name), new in self.numbers.items() if of == key]
        edits = self.edits.get(key, ())
        if not numbers and not edits:
            edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
            ends = columns.starts + columns.lengths
            yield from joined(self.index.file.read, columns.starts[edges[::2]], ends[edges[1::2] - 1], gap)
            return
        last, stopped = -2, 0
        for rows, data, base in runs(self.index.file, columns, np.flatnonzero(mask)):
            starts, lengths = (columns.starts[rows] - base).tolist(), columns.lengths[rows].tolist()
            found = [data[at : at + size] for at, size in zip(starts, lengths, strict=True)]
            for name, old, new in numbers:
                for place in np.flatnonzero(old[rows] != new[rows]).tolist():
                    found[place] = replaced(found[place], name, b"%d" % new[rows[place]])
            for edit in edits:
                found = [edit(record, row) for record, row in zip(found, rows.tolist(), strict=True)]
            written: list[bytes] = []
            for row, at, size, record in zip(rows.tolist(), starts, lengths, found, strict=True):
                if row == last + 1:  # what stood between two that follow each other stays, too
                    before = stopped - base
                    written.append(data[before:at] if before >= 0 else self.index.file.read(stopped, at - before))
                elif last >= 0:
                    written.append(gap)
                written.append(record)
                last, stopped = row, base + at + size
            yield b"".join(written)


_COLUMNS = {
    "id": "ids",
    "license": "licenses",
    "image_id": "image_ids",
    "category_id": "category_ids",
}


def _column(columns: Images | Annotations, name: str) -> Ints:
    found: Ints = getattr(columns, _COLUMNS[name])
    return found


def replaced(record: bytes, key: str, value: bytes) -> bytes:
    """A record with another value of a key; as it was where it has no such key."""
    at = last_member(record, key)
    if not at:
        return record
    end = element_end(record, at, whole=True)
    return record[:at] + value + record[end:]


def rerooted(record: bytes, root: str) -> bytes:
    """An image record with something before its file name, which is written as it was."""
    at = last_member(record, "file_name")
    if not at or record[at : at + 1] != b'"':
        return record
    return record[: at + 1] + encoded(root)[1:-1] + record[at + 1 :]


def unrooted(record: bytes, root: str) -> bytes:
    """An image record without what stands before its file name; as it was where the name begins otherwise."""
    at = last_member(record, "file_name")
    if not at or record[at : at + 1] != b'"':
        return record
    written = encoded(root)[1:-1]
    if record.startswith(written, at + 1):
        return record[: at + 1] + record[at + 1 + len(written) :]
    end = element_end(record, at, whole=True)
    name: str = msgspec.json.decode(record[at:end])
    return record[:at] + encoded(name.removeprefix(root)) + record[end:] if name.startswith(root) else record


def encoded(value: object) -> bytes:
    """A value as JSON."""
    return msgspec.json.encode(value)


def listed(elements: Collection[bytes]) -> Elements:
    """Elements that are held, as what `Top.chunks` takes."""
    return lambda gap: iter([gap.join(elements)])


def together(pieces: Sequence[Piece], key: Key) -> Elements:
    """The records of a list of several pieces, one after the other."""

    def make(gap: bytes) -> Iterator[bytes]:
        for number, piece in enumerate(piece for piece in pieces if piece.count(key)):
            if number:
                yield gap
            yield from piece.records(key, gap)

    return make
