"""Parts of COCO files: some images and annotations of one file, or of several that become one, as the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import msgspec
import numpy as np

from visprep.errors import UsageError
from visprep.formats.coco_bytes import element_end, last_member
from visprep.formats.coco_json import MISSING, Annotations, Images, Index, JsonFile, Mask, Subset
from visprep.formats.coco_scan import BLOCK, Ints

Key = Literal["images", "annotations"]
_KEYS: tuple[Key, Key] = ("images", "annotations")
#: Keys at the top that may differ where files become one: that of the first file stands.
_FIRST = frozenset({"info"})


@dataclass(frozen=True)
class Piece:
    """Some images and annotations of a file; `directory` is what the file names of the images gain, '' for nothing."""

    index: Index
    images: Mask
    annotations: Mask
    directory: str = ""

    @property
    def whole(self) -> bool:
        """Whether something is in it."""
        return bool(self.images.any() or self.annotations.any())


def frame(index: Index) -> dict[str, Any]:
    """What a file holds at its top beside images and annotations, decoded."""
    at, pieces = 0, []
    for columns in _in_order(index):
        pieces.append(index.file.read(at, int(columns.starts[0]) - at))
        at = int(columns.starts[-1] + columns.lengths[-1])
    pieces.append(index.file.read(at, index.file.size - at))
    top = msgspec.json.decode(b"".join(pieces))
    return {key: value for key, value in top.items() if key not in _KEYS}


def check_together(indexes: Sequence[Index], names: Sequence[str]) -> None:
    """UsageError when files cannot become one: their categories, or what else they hold at the top, differ."""
    first = frame(indexes[0])
    for index, name in zip(indexes[1:], names[1:], strict=True):
        other = frame(index)
        for key in first.keys() | other.keys():
            if key not in _FIRST and first.get(key) != other.get(key):
                raise UsageError(
                    f"{names[0]} and {name} differ in {key!r}, and their records are to be put together",
                    hint="make them agree, or split each by itself",
                )


def check_ids(pieces: Sequence[Piece], names: Sequence[str]) -> None:
    """UsageError when two records of different files that become one have the same id; it names the first."""
    for key in _KEYS:
        chosen = [_ids(piece, key) for piece in pieces]
        ids = np.concatenate(chosen)
        order = np.argsort(ids, kind="stable")
        again = np.flatnonzero(ids[order][1:] == ids[order][:-1])
        owner = np.repeat(np.arange(len(pieces)), list(map(len, chosen)))[order]
        for at in again.tolist():
            if owner[at] != owner[at + 1]:
                both = f"{names[owner[at]]} and {names[owner[at + 1]]}"
                raise UsageError(
                    f"{both} both have {key} with the id {ids[order][at]}, and are to be put together",
                    hint="split each by itself, or join them: visprep convert FILE --to coco --merge FILE --renumber",
                )


def _ids(piece: Piece, key: Key) -> Ints:
    columns, mask = (
        (piece.index.images, piece.images) if key == "images" else (piece.index.annotations, piece.annotations)
    )
    ids: Ints = columns.ids[mask]
    known: Ints = ids[ids != MISSING]
    return known


def chunks(pieces: Sequence[Piece]) -> Iterator[bytes]:
    """The pieces as one file, about a megabyte at a time: records as they are, all else as the first file has it.

    ChangedMeanwhile, at the end, when a file is not the one any more that its index tells of.
    """
    yield from _gathered(_joined(pieces))
    for piece in pieces:
        piece.index.file.check_same()


def _joined(pieces: Sequence[Piece]) -> Iterator[bytes]:
    if len(pieces) == 1 and not pieces[0].directory:
        yield from Subset(pieces[0].index, pieces[0].images, pieces[0].annotations).chunks()
        return
    head = max(pieces, key=lambda piece: (len(piece.index.images) > 0) + (len(piece.index.annotations) > 0)).index
    at = 0
    for columns in _in_order(head):
        start, stop = int(columns.starts[0]), int(columns.starts[-1] + columns.lengths[-1])
        yield head.file.read(at, start - at)
        comma = False
        for piece in pieces:
            for data in _records(piece, "images" if columns is head.images else "annotations"):
                if comma:
                    yield b", "
                comma = True
                yield data
        at = stop
    yield head.file.read(at, head.file.size - at)


def _in_order(index: Index) -> list[Images | Annotations]:
    """The lists of a file that hold something, as they stand in it."""
    filled: list[Images | Annotations] = [one for one in (index.images, index.annotations) if len(one)]
    return sorted(filled, key=lambda one: int(one.starts[0]))


def _records(piece: Piece, key: Key) -> Iterator[bytes]:
    """The bytes of each record that is in a piece."""
    index = piece.index
    columns, mask = (index.images, piece.images) if key == "images" else (index.annotations, piece.annotations)
    for numbers, data, base in runs(index.file, columns, np.flatnonzero(mask)):
        starts = (columns.starts[numbers] - base).tolist()
        for start, length in zip(starts, columns.lengths[numbers].tolist(), strict=True):
            record = data[start : start + length]
            yield _below(record, piece.directory) if piece.directory and key == "images" else record


def runs(file: JsonFile, columns: Images | Annotations, numbers: Ints) -> Iterator[tuple[Ints, bytes, int]]:
    """Some records of a list, as many at once as lie within some megabytes: which, their bytes, and the first byte."""
    if not len(numbers):
        return
    starts, ends = columns.starts[numbers], columns.starts[numbers] + columns.lengths[numbers]
    cuts = np.flatnonzero(np.diff((starts - starts[0]) // (4 * BLOCK))) + 1
    for first, last in pairwise([0, *cuts.tolist(), len(numbers)]):
        base = int(starts[first])
        yield numbers[first:last], file.read(base, int(ends[last - 1]) - base), base


def _below(record: bytes, directory: str) -> bytes:
    """An image record with its file name in a directory; all other bytes are as they were."""
    at = last_member(record, "file_name")
    if not at:
        return record
    end = element_end(record, at, whole=True)
    name = msgspec.json.decode(record[at:end])
    return record[:at] + msgspec.json.encode(f"{directory}/{name}") + record[end:]


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces: to hash and to write each of a hundred thousand costs more than to join them."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= BLOCK:
            yield b"".join(held)
            held.clear()
            size = 0
    if held:
        yield b"".join(held)
