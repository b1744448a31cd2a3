"""Looking at an image that is elsewhere, by its first bytes and its last ones.

The first 256 bytes tell the format, and of most images the size. Where they do not, 4 KB are read, then 8 KB; what is
long and says nothing of the picture, as a color profile or a thumbnail, is skipped. How it ends is for `image_ends`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from visprep import image_ends, jpegs, webps
from visprep.errors import WrongContent
from visprep.findings import Finding
from visprep.image_ends import End, Read, Unclear
from visprep.image_headers import HEAD_BYTES, image_format
from visprep.jpegs import Fault
from visprep.manifest import File
from visprep.rules import Depth
from visprep.rules.image_files import IMAGE_DAMAGED, IMAGE_OTHER_FORMAT, Sight, ended, look
from visprep.stores import Store

#: An image of so many bytes is read as a whole, with one request.
WHOLE = 8 * 1024
#: Bytes of a head that are read at first, and up to where when that is not enough.
FIRST = 256
_STEPS = (4 * 1024, 8 * 1024)
#: Parts of a header that are read one by one, when it is longer.
_PARTS = 32
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"


def bytes_at_least(file: File) -> int:
    """The bytes that a glance at an image takes, when nothing is wrong with it, or odd."""
    size = file.size or 0
    return size if size <= WHOLE else FIRST if _is_webp(file) else FIRST + image_ends.FIRST


def requests_at_least(file: File) -> int:
    """The reads for that."""
    size = file.size or 0
    return min(size, 1) if size <= WHOLE or _is_webp(file) else 2


def _is_webp(file: File) -> bool:
    """Whether it has the name of a WebP, the first bytes of which say how long it is."""
    return file.path.lower().endswith(".webp")


async def glance(store: Store, file: File) -> tuple[Sight, bytes | None]:
    """An image that is not empty, and whose size is known, at the depth `headers`; all of its bytes, if they were read.

    What is said holds for sure; where parts cannot tell, all of it is read.
    """
    size = file.size or 0
    data: bytes | None = None
    if size > WHOLE:
        try:
            sight = await _by_parts(_reader(store, file), file.path, size)
        except WrongContent:  # it is not as long as it was listed
            sight = None
        if sight is not None:
            return sight, None
    data = await store.read(file.path)
    return look(data, file.path, Depth.HEADERS), data


def _reader(store: Store, file: File) -> Read:
    async def read(start: int, end: int) -> bytes:
        part = await store.read(file.path, start, end - start)
        if len(part) != end - start:
            raise WrongContent(f"{file.path} ends within its first {end} bytes")
        return part

    return read


async def _by_parts(read: Read, path: str, size: int) -> Sight | None:
    """What parts tell; None where they do not."""
    data = await read(0, FIRST)
    kind = image_format(data)
    if kind is None:
        return look(data, path, Depth.HEADERS, whole=False)
    if kind == "JPEG":
        found = await _jpeg_head(read, size, data)
        if found is None:
            return None
        if isinstance(found, End):
            return Sight(findings=(*_misnamed(look(data, path, Depth.HEADERS, whole=False)), *_said(path, size, found)))
        data = found
    elif kind == "WEBP":
        return await _webp(read, path, size, data)
    else:
        for step in (*_STEPS, HEAD_BYTES) if kind == "PNG" else _STEPS[:1]:
            if kind != "PNG" or (data[12:16] == b"IHDR" and b"IDAT" not in data):
                data += await read(len(data), min(step, size)) if len(data) < min(step, size) else b""
    sight = look(data, path, Depth.HEADERS, whole=False)
    if any(one.code == IMAGE_DAMAGED.code for one in sight.findings):
        # Or the header may only be longer; but one that is no such image is no image of that name either
        return Sight(findings=misnamed) if (misnamed := _misnamed(sight)) else None
    if len(data) >= size:
        return None
    end = await _end(read, kind, data, size)
    if isinstance(end, Unclear):
        return None
    return Sight(sight.facts, (*sight.findings, *_said(path, size, end)))


def _misnamed(sight: Sight) -> tuple[Finding, ...]:
    return tuple(one for one in sight.findings if one.code == IMAGE_OTHER_FORMAT.code)


def _said(path: str, size: int, end: End | None) -> Iterator[Finding]:
    return ended(path, size, end.at, end.fault) if end else iter(())


async def _end(read: Read, kind: str, data: bytes, size: int) -> End | Unclear | None:
    """How an image ends; None of a kind that has no end to be known by."""
    if kind == "JPEG":
        return await image_ends.jpeg_end(read, size, len(data))
    if kind == "PNG":
        return await image_ends.png_end(read, size, len(data))
    return None


async def _webp(read: Read, path: str, size: int, data: bytes) -> Sight | None:
    """As `_by_parts`, of a WebP, whose first bytes tell its size and its length."""
    sight = look(data, path, Depth.HEADERS, whole=False)
    if sight.facts is None:
        return Sight(findings=misnamed) if (misnamed := _misnamed(sight)) else None
    end, header = await image_ends.webp_end(read, size, data)
    if isinstance(end, Unclear):
        return None
    sight = look(header, path, Depth.HEADERS, whole=False)
    certain = end.fault is None or not webps.header(data).noted  # else what would turn it was not seen
    return Sight(sight.facts if certain else None, (*sight.findings, *_said(path, size, end)))


async def _jpeg_head(read: Read, size: int, data: bytes) -> bytes | End | None:
    """The first bytes of a JPEG to its frame header, with zeros for what was skipped; None where that is not found.

    Its end where it is cut off before.
    """
    head = bytearray(data)
    for _ in range(_PARTS):
        wanted = _wanted(head)
        if wanted is None:
            return bytes(head)
        start, end = wanted
        if end > size:
            return End(fault=Fault(f"cut off at byte {size}: in its header", cut_off=True))
        step = next((one for one in _STEPS if len(head) < end <= one), None)
        start, end = (len(head), min(step, size)) if step else (max(start, len(head)), max(end, start + FIRST))
        if min(end, size) <= start:
            return None
        head += bytes(start - len(head))
        head += await read(start, min(end, size))
    return None


def _wanted(head: bytearray) -> tuple[int, int] | None:
    """From where to where a JPEG must be read to get on with its header; None when no more of it is needed.

    Where the header makes no sense there is no need either: who looks at it will say so.
    """
    at, turned = 2, False
    while True:
        while head[at : at + 2] == b"\xff\xff":
            at += 1
        if at + 4 > len(head):
            return at, at + 4
        mark, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        end = at + 2 + length
        if head[at] != 0xFF or length < 2 or mark in (jpegs.SCAN, jpegs.END):
            return None
        if mark in jpegs.FRAMES:
            return None if end <= len(head) else (at, end)
        if mark == 0xE1 and not turned:
            need = _turning(head, at + 4, end)
            if need > len(head):
                return at, need
            turned = head[at + 4 : at + 10] == _EXIF
        at = end


def _turning(head: bytearray, at: int, end: int) -> int:
    """Up to where a segment, whose body is from `at` to `end`, must be read for the orientation that it may tell."""
    body = head[at:end]
    if len(body) < min(len(_XMP), end - at):
        return min(at + len(_XMP), end)
    if body.startswith(_XMP):
        return end
    if not body.startswith(_EXIF):
        return at
    tiff = body[len(_EXIF) :]
    if len(tiff) < 8:
        return min(at + len(_EXIF) + 8, end)
    order = "<" if tiff[:1] == b"I" else ">"
    directory: int = struct.unpack_from(f"{order}L", tiff, 4)[0]
    if directory + 2 > len(tiff):
        return min(at + len(_EXIF) + directory + 2, end)
    count: int = struct.unpack_from(f"{order}H", tiff, directory)[0]
    need: int = at + len(_EXIF) + directory + 2 + 12 * count
    return min(need, end)
