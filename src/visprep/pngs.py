"""PNG: what its chunks say, whether it is whole, and whether all of its pixels are there.

It is read by hand, since Pillow skips the checksums of its pixels, needs no end, and does not tell 16 bits a channel
from 8.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from visprep.errors import WrongContent
from visprep.jpegs import Fault

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Color type and bit depth as a mode; those missing here are illegal.
_MODES = {
    (0, 1): "1",
    (0, 2): "L;2",
    (0, 4): "L;4",
    (0, 8): "L",
    (0, 16): "I;16",
    (2, 8): "RGB",
    (2, 16): "RGB;16",
    (3, 1): "P;1",
    (3, 2): "P;2",
    (3, 4): "P;4",
    (3, 8): "P",
    (4, 8): "LA",
    (4, 16): "LA;16",
    (6, 8): "RGBA",
    (6, 16): "RGBA;16",
}
#: Chunks of a PNG that may hold an orientation.
_NOTES = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
_RAW_EXIF, _XMP = "Raw profile type exif", "XML:com.adobe.xmp"
_LONGEST_NOTE = 1024 * 1024  # what Pillow takes of a text
#: Where Adam7's seven passes begin, and their steps: x, y, x step, y step.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


@dataclass(frozen=True, slots=True)
class PngHeader:
    """What the chunks before the pixels, and after them as far as they are there, say.

    `mode` tells bits too, as `I;16`; `notes` are what may hold an orientation, by the names that Pillow has for them.
    """

    width: int
    height: int
    mode: str
    frames: int
    transparency: bool
    notes: dict[str, Any]


def header(data: bytes) -> PngHeader:
    """What the header says; WrongContent when it is damaged."""
    if not data.startswith(_SIGNATURE):
        raise WrongContent("the signature of the PNG is damaged, as by a transfer in text mode")
    first = next(_chunks(data), None)
    if first is None or first.kind != b"IHDR" or len(first.body) != 13 or not first.sound:
        raise WrongContent("the header of the PNG is damaged")
    width, height, depth, color = struct.unpack(">IIBB", first.body[:10])
    mode = _MODES.get((color, depth))
    if mode is None or not 0 < width < 2**31 or not 0 < height < 2**31:
        raise WrongContent(f"the header of the PNG is not legal: {width} x {height}, type {color}, {depth} bits")
    frames, transparency = 1, False
    notes: dict[str, Any] = {}
    for chunk in _chunks(data):
        if chunk.kind == b"acTL" and len(chunk.body) >= 4:
            frames = max(1, int.from_bytes(chunk.body[:4], "big"))
        elif chunk.kind == b"tRNS":
            transparency = True
        elif chunk.sound:
            notes.update(_note(chunk.kind, bytes(chunk.body)) if chunk.kind in _NOTES else ())
    return PngHeader(width, height, mode, frames, transparency, notes)


def survey(data: bytes) -> tuple[Fault | None, int | None]:
    """Where it is damaged or cut off, as its chunks tell, and where it ends; None for either."""
    kinds = set()
    end = None
    for chunk in _chunks(data):
        name = chunk.kind.decode("latin-1")
        if not (name.isascii() and name.isalpha()):
            return Fault(f"at byte {chunk.at} a chunk should begin, and none does"), None
        if not chunk.whole:
            return Fault(f"cut off in chunk {name} at byte {len(data)}", cut_off=True), None
        if not chunk.sound:
            return Fault(f"the checksum of chunk {name} at byte {chunk.at} is wrong"), None
        kinds.add(chunk.kind)
        end = chunk.at + 12 + len(chunk.body)
    if b"IDAT" not in kinds:
        return Fault("it holds no pixels"), None
    if b"IEND" in kinds:
        return None, end
    return Fault(f"cut off at byte {len(data)}: the end mark is missing", cut_off=True), None


def interlaced(data: bytes) -> bool:
    """Whether a PNG, whose header has been checked, stores its pixels in seven passes."""
    return data[28] != 0


def missing_pixels(data: bytes) -> str | None:
    """Whether the compressed stream of a PNG with sound chunks ends before the last pixel; this inflates all of it.

    Pillow leaves such pixels black and says nothing.
    """
    width, height, depth, color = struct.unpack_from(">IIBB", data, 16)
    passes = _ADAM7 if interlaced(data) else ((0, 0, 1, 1),)
    expected = 0
    for x, y, x_step, y_step in passes:
        columns, rows = (width - x + x_step - 1) // x_step, (height - y + y_step - 1) // y_step
        if columns > 0:  # each row begins with a byte that names its filter
            expected += rows * (1 + (columns * depth * _CHANNELS[color] + 7) // 8)
    inflate, actual = zlib.decompressobj(), 0
    for chunk in _chunks(data):
        if chunk.kind == b"IDAT":
            try:
                # A byte more than there should be: then its checksum is looked at, and no bomb goes off
                actual += len(inflate.decompress(chunk.body, expected + 1 - actual))
            except zlib.error as problem:
                return f"its pixels are damaged: {problem}"
        if actual > expected:
            return None
    return None if actual == expected else f"its pixels end early: {actual} of {expected} bytes are there"


def _note(kind: bytes, body: bytes) -> dict[str, Any]:
    """What a chunk says of the orientation, under the name by which Pillow looks for it."""
    if kind == b"eXIf":
        return {"exif": b"Exif\0\0" + body}
    key, _, rest = body.partition(b"\0")
    name = key.decode("latin-1")
    if name not in (_RAW_EXIF, _XMP):
        return {}
    packed = kind == b"zTXt" or rest[:1] == b"\1"
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    try:
        text = zlib.decompressobj().decompress(rest, _LONGEST_NOTE) if packed and kind != b"tEXt" else rest
    except zlib.error:
        return {}
    return {name: text.decode("utf-8" if kind == b"iTXt" else "latin-1", "replace")}


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A chunk of a PNG: where it begins, its body as far as it is there, and whether its checksum agrees."""

    at: int
    kind: bytes
    body: memoryview
    whole: bool
    sound: bool


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks of a PNG to IEND or to where the data ends, whichever comes first."""
    view, at = memoryview(data), len(_SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = view[at + 8 : at + 8 + length]
        end = at + 12 + length
        whole = end <= len(data)
        sound = whole and zlib.crc32(view[at + 4 : end - 4]) == int.from_bytes(view[end - 4 : end], "big")
        yield _Chunk(at, kind, body, whole, sound)
        if kind == b"IEND":
            return
        at = end
