"""JPEG: what its segments say, whether it is whole, and whether all of its pixels can be had.

Two looks, since each sees what the other does not. The scan walks the segments and the marks among the pixels, makes
none of them, and is cheap; it sees what was cut off. The strict decode is libjpeg-turbo's with its warnings taken as
faults: Pillow and OpenCV pass them over and fill up what is missing or damaged with gray.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.intp]

#: Marks of a frame header: baseline, progressive, lossless and so on, but not DHT, JPG, and DAC.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: The mark before pixels, and the one at the end.
SCAN, END = 0xDA, 0xD9
#: Marks that a segment, or the end, begins with.
_KNOWN = frozenset({0xC4, 0xCC, END, *range(SCAN, 0xDE), *range(0xE0, 0xF0), 0xFE}) | FRAMES
#: What a frame header begins with: mark, length, bits, height, width, components.
_FRAME = struct.Struct(">BBHBHHB")
#: Marks that stand before it.
_BEFORE = _KNOWN - {END, SCAN} - FRAMES
_COLORS = {1: "L", 3: "RGB", 4: "CMYK"}
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the bytes of an image, in words; `cut_off` says that its end is missing."""

    message: str
    cut_off: bool = False

    def __str__(self) -> str:
        return self.message


@dataclass(slots=True)
class JpegScan:
    """What walking over a JPEG tells: sizes are 0 where no frame header was met; `end` is where its end mark ends.

    `fault` is the first that was met. `orientation` is that of EXIF, else of XMP; 1 is upright.
    """

    width: int = 0
    height: int = 0
    bits: int = 8
    components: int = 0
    orientation: int = 1
    end: int | None = None
    fault: Fault | None = None
    _exif: bool = field(default=False, repr=False)

    @property
    def mode(self) -> str:
        """Pillow's mode of its pixels, with the bits where they are not 8; empty where the components make none."""
        mode = _COLORS.get(self.components, "")
        return mode if self.bits == 8 else f"{mode};{self.bits}"


def scan(data: bytes, *, header: bool = False) -> JpegScan:
    """Walk over a JPEG: to its end, or with `header` no farther than to where its pixels begin.

    `data` must begin as a JPEG does. Where it ends before the pixels begin, that is a fault that says so.
    """
    seen = JpegScan()
    marks: Places | None = None
    at = 2
    while True:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes may stand before a mark
            at += 1
        if at + 2 > len(data):
            seen.fault = Fault(f"cut off at byte {len(data)}: the end mark is missing", cut_off=True)
            return seen
        mark = data[at + 1]
        if data[at] != 0xFF or mark not in _KNOWN:
            found = "no mark" if data[at] != 0xFF else f"the mark ff {mark:02x}"
            seen.fault = Fault(f"damaged: at byte {at} stands {found}, where a segment should begin")
            return seen
        if mark == END:
            if marks is None:
                seen.fault = Fault("it holds no pixels")
            seen.end = at + 2
            return seen
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if at + 2 + length > len(data) or at + 4 > len(data):
            seen.fault = Fault(f"cut off at byte {len(data)}: in its header", cut_off=True)
            return seen
        _segment(seen, mark, data[at + 4 : at + 2 + length])
        at += 2 + length
        if mark == SCAN:
            if header:
                return seen
            if marks is None:
                start, marks = at, _marks(data, at)
            later = marks[np.searchsorted(marks, at - start) :]
            if not len(later):
                seen.fault = Fault(f"cut off at byte {len(data)}: the end mark is missing", cut_off=True)
                return seen
            at = start + int(later[0])


def frame_size(data: bytes) -> tuple[int, int] | None:
    """Width and height, as soon as a frame header tells them; None where it takes more than a glance.

    `data` must begin as a JPEG does. `scan` says the same, and more, in several times as long.
    """
    at = 2
    while at + _FRAME.size <= len(data):
        first, mark, length, _, height, width, components = _FRAME.unpack_from(data, at)
        if first != 0xFF or length < 2:
            return None
        if mark not in _BEFORE:
            plain = mark in FRAMES and height and width and components in _COLORS and length >= 8
            return (width, height) if plain and at + 2 + length <= len(data) else None
        at += 2 + length
    return None


def _marks(data: bytes, start: int) -> Places:
    """Where, counted from `start`, marks stand that are neither a stuffed ff nor a restart: in pixels there is none."""
    values = np.frombuffer(data, np.uint8, offset=start)
    places = np.flatnonzero(values[:-1] == 0xFF)
    following = values[places + 1]
    found: Places = places[(following != 0) & ((following & 0xF8) != 0xD0)]
    return found


def _segment(seen: JpegScan, mark: int, body: bytes) -> None:
    """Take from a segment what it says of the picture."""
    if mark in FRAMES and not seen.components and len(body) >= 6:
        seen.bits, seen.components = body[0], body[5]
        seen.height, seen.width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    elif mark == 0xE1 and body.startswith(_EXIF) and not seen._exif:
        found = _orientation(body[len(_EXIF) :])
        seen._exif = found is not None
        seen.orientation = found or seen.orientation
    elif mark == 0xE1 and body.startswith(_XMP) and not seen._exif and (said := _XMP_ORIENTATION.search(body)):
        seen.orientation = int(said[1])


def _orientation(tiff: bytes) -> int | None:
    """The orientation in the first directory of EXIF; None where it says none that there is."""
    if tiff[:4] not in (b"II*\0", b"MM\0*"):
        return None

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], "little" if tiff[:1] == b"I" else "big")

    directory = number(4, 4)
    for entry in range(number(directory, 2)):
        at = directory + 2 + 12 * entry
        if at + 12 > len(tiff):
            break
        if number(at, 2) == 0x0112:
            kind = number(at + 2, 2)
            value = number(at + 8, 2 if kind == 3 else 4)
            return value if kind in (3, 4) and 1 <= value <= 8 else None
    return None


def strict_fault(data: bytes) -> Fault | None:
    """Why not all pixels of a JPEG of 8 bits can be had, as libjpeg-turbo says it; None when all can.

    All of the compressed data is read, at an eighth of the size and in gray, which finds the same and costs less.
    """
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=8, strict=True)
    except ValueError as problem:
        message = str(problem) or "it does not decode"
        return Fault(f"{message[0].lower()}{message[1:]}", cut_off="Premature end of JPEG" in message)
    return None
