"""WebP: what its first chunk says, and whether its chunks fill the file, by the container that RFC 9649 describes.

It is read by hand, since Pillow's decoder wants all of the bytes to tell as much as the size. Nothing tells where the
pixels of a chunk end, nor whether they are what they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from visprep.errors import WrongContent
from visprep.jpegs import Fault

#: Where the first chunk begins, and in a WebP of several chunks the second.
FIRST, SECOND = 12, 30
#: Chunks that may hold an orientation, by the names that Pillow has for what is in them.
NOTES = {b"EXIF": "exif", b"XMP ": "xmp"}
_ANIMATED, _XMP, _EXIF, _ALPHA = 0x02, 0x04, 0x08, 0x10
_PRINTED = range(0x20, 0x7F)


@dataclass(frozen=True, slots=True)
class WebpHeader:
    """What the first chunk says, and those after it that tell of the orientation, as far as they are there.

    `several` says that other chunks follow, `noted` that one of them may hold an orientation.
    """

    width: int
    height: int
    mode: str
    several: bool
    animated: bool
    noted: bool
    notes: dict[str, Any]


def header(data: bytes) -> WebpHeader:
    """What the header says; WrongContent when it is damaged."""
    kind, body = data[FIRST : FIRST + 4], data[FIRST + 8 : SECOND]
    if len(body) == SECOND - FIRST - 8:
        if kind == b"VP8X":
            width, height = (1 + int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
            notes = {NOTES[kind]: data[at + 8 : at + 8 + length] for at, kind, length in _whole_notes(data)}
            mode, noted = "RGBA" if body[0] & _ALPHA else "RGB", bool(body[0] & (_EXIF | _XMP))
            return WebpHeader(width, height, mode, True, bool(body[0] & _ANIMATED), noted, notes if noted else {})
        if kind == b"VP8L" and body[0] == 0x2F and body[4] >> 5 == 0:
            bits = int.from_bytes(body[1:5], "little")
            mode = "RGBA" if bits >> 28 & 1 else "RGB"
            return WebpHeader((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, mode, False, False, False, {})
        if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a" and not body[0] & 1:
            width, height = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
            if width and height:
                return WebpHeader(width, height, "RGB", False, False, False, {})
    raise WrongContent("the header of the WebP is damaged")


def promised(data: bytes) -> int:
    """How many bytes the file should have, as its first ones say."""
    return 8 + int.from_bytes(data[4:8], "little")


def survey(data: bytes) -> tuple[Fault | None, int | None]:
    """Where it is damaged or cut off, as its length and its chunks tell, and where it ends; None for either."""
    end = promised(data)
    if end > len(data):
        return Fault(f"cut off at byte {len(data)} of {end}", cut_off=True), None
    several = data[FIRST : FIRST + 4] == b"VP8X"
    for at, kind, length in chunks(data, FIRST, end):
        if fault := chunk_fault(at, kind, length, end):
            return fault, None
        if not several:  # what follows the only one is read by nobody
            break
    return None, end + end % 2


def chunk_fault(at: int, kind: bytes, length: int, end: int) -> Fault | None:
    """What is wrong with the chunk at byte `at` of a WebP that ends at `end`."""
    if not all(byte in _PRINTED for byte in kind):
        return Fault(f"at byte {at} a chunk should begin, and none does")
    if at + 8 + length > end:
        return Fault(f"chunk {kind.decode()} at byte {at} is longer than the image")
    return None


def chunks(data: bytes, at: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """Of each chunk from `at` on where it begins, its name, and the length of its body."""
    while at + 8 <= min(end, len(data)):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        yield at, data[at : at + 4], length
        at += 8 + length + length % 2


def _whole_notes(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    for at, kind, length in chunks(data, SECOND, len(data)):
        if kind in NOTES and at + 8 + length <= len(data):
            yield at, kind, length
