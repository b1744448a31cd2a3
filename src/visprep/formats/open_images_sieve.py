"""The rows of a table that may be wanted, found in its bytes: most are not, and need not be taken apart.

What is found is a little more than what is wanted, never less. Where the bytes are not as plain as upstream's mostly
are, nothing is found, and every row is taken apart: so what is wrong there is seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from visprep.formats.open_images_blocks import Block, Mask, Numbers, Piece
from visprep.formats.open_images_ids import DIGITS, ImageIds, are_in, image_numbers
from visprep.formats.open_images_tables import Kind

__all__ = ["Sieve", "sieve"]

Words = npt.NDArray[np.uint64]

#: Bytes of a MID that are compared at once; others that begin so are taken for it.
_WORD = 8
#: Up to so many classes it is quicker to compare with each.
_FEW = 12
_COMMA, _SLASH, _LINE_END = map(ord, ",/\n")


def sieve(columns: Sequence[str], kind: Kind, classes: Collection[str] | None, images: ImageIds | None) -> Sieve | None:
    """The sieve for rows of these classes and images in a table with these columns; None where there can be none."""
    words = None
    if classes is not None and kind.classes and all(mid.startswith("/") for mid in classes):
        beginnings: dict[int, set[bytes]] = defaultdict(set)
        for mid in classes:
            beginnings[len(mid.encode()[:_WORD])].add(mid.encode()[:_WORD])
        words = {length: np.array(sorted(map(_word, some)), np.uint64) for length, some in beginnings.items()}
    if columns[0] != kind.image:
        images = None
    return None if words is None and images is None else Sieve(len(columns), words, images)


class Sieve:
    """What wanted rows hold: the first letters of a class, by their number, or the id of an image at their start."""

    def __init__(self, columns: int, words: dict[int, Words] | None, images: ImageIds | None) -> None:
        self._columns, self._words, self._images = columns, words, images

    def rows(self, piece: Piece) -> Block | None:
        """The rows of a piece that may be wanted, copied; None when they cannot be told.

        That is so when there are quotes, empty lines, more or fewer fields than columns, or an image without an id.
        """
        letters, flags = piece.letters, piece.flags
        if piece.has(b'"'):
            return None
        commas = np.count_nonzero(np.equal(letters, _COMMA, out=flags))
        ends = np.flatnonzero(np.equal(letters, _LINE_END, out=flags))
        if letters[-1] != _LINE_END:
            ends = np.append(ends, len(letters))
        starts = np.concatenate([[0], ends[:-1] + 1])
        if commas != len(starts) * (self._columns - 1) or (ends - starts).min() < 2:
            return None
        kept: Numbers | None = None
        if self._words is not None:
            kept = self._with_classes(piece, starts)
        if self._images is not None:
            try:
                kept = self._of_images(piece, starts, kept)
            except ValueError:
                return None
        assert kept is not None
        mask: Mask = np.zeros(len(starts), np.bool_)
        mask[kept] = True
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
        bounds = np.append(starts, len(letters))[edges].tolist()
        data = b"".join([piece.view[start:stop] for start, stop in zip(bounds[::2], bounds[1::2], strict=True)])
        return Block(data, piece.offset, len(kept), starts[kept] + piece.offset)

    def _with_classes(self, piece: Piece, starts: Numbers) -> Numbers:
        """The rows in which a class is named."""
        assert self._words is not None
        slashes = np.flatnonzero(np.equal(piece.letters, _SLASH, out=piece.flags))
        beginnings: Words = piece.words("<u8")[slashes]
        found: Mask = np.zeros(len(slashes), np.bool_)
        for length, wanted in self._words.items():
            some = beginnings if length == _WORD else beginnings & np.uint64(256**length - 1)
            if len(wanted) > _FEW:
                found |= are_in(some, wanted)
            else:
                for one in wanted:
                    found |= some == one
        return np.unique(np.searchsorted(starts, slashes[found], "right") - 1)

    def _of_images(self, piece: Piece, starts: Numbers, rows: Numbers | None) -> Numbers:
        """The rows, or those of some, that begin with the id of an image; ValueError when one begins with none."""
        assert self._images is not None
        if starts[-1] + DIGITS >= len(piece.letters) or (piece.letters[starts + DIGITS] != _COMMA).any():
            raise ValueError("an id of an image is not 16 hex digits")
        ids = piece.words("V16")[starts].view(np.uint64).reshape(-1, 2)
        # Mostly some rows of an image follow one another
        new = np.concatenate([[True], (ids[1:] != ids[:-1]).any(1)])
        wanted = are_in(image_numbers(ids[new].view(np.uint8).ravel()), self._images)
        found = wanted[np.cumsum(new) - 1]
        return np.flatnonzero(found) if rows is None else rows[found[rows]]


def _word(letters: bytes) -> int:
    return int.from_bytes(letters, "little")
