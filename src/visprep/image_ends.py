"""How an image elsewhere ends, told from as few of its bytes as will do.

Of a sound image the last bytes are enough. Where they are no end, one that is missing is told from one that other bytes
follow: by the marks among the pixels of a JPEG, by the chunks of a PNG. A WebP says how long it is. What remains
unclear is said to be so, and the caller reads all of the image.
"""

from __future__ import annotations

import string
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from visprep import webps
from visprep.jpegs import Fault

#: `read(start, end)`: that part of the file, neither more nor less.
Read = Callable[[int, int], Awaitable[bytes]]

#: Bytes of an end that are read at first, then where that does not tell.
FIRST, MORE, MOST = 256, 2 * 1024, 8 * 1024
#: Bytes at once while a boundary is sought: in zeros, and among other bytes.
_GRAIN, _PIECE, _WIDE = 64, 512, 4 * 1024
#: How often a boundary is sought anew, further on.
_ROUNDS = 4
#: As many parts of what seems to be nothing but one byte are looked at.
_SAMPLES = 8
#: Chunks of a PNG that are visited one by one.
_CHUNKS = 64
#: And of a WebP, and the longest of those that are read.
_WEBP_CHUNKS, _LONGEST = 8, 64 * 1024
#: Where the second one of a PNG begins.
_SECOND_CHUNK = 33
_END, _IEND = b"\xff\xd9", b"\0\0\0\0IEND\xae\x42\x60\x82"
#: What may follow ff among pixels: a stuffed zero, restarts, fill bytes, and what begins another scan.
_WITHIN = frozenset({0x00, *range(0xD0, 0xD8), 0xFF, 0xC4, 0xDA, 0xDC, 0xDD})
_TEXT = frozenset(string.printable.encode())


class Unclear(Enum):
    """Only all of the bytes would tell."""

    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class End:
    """How an image ends: at byte `at`, after which others may follow; or with a fault."""

    at: int | None = None
    fault: Fault | None = None


async def jpeg_end(read: Read, size: int, head: int) -> End | Unclear:
    """Of a JPEG whose header is sound, and whose first `head` bytes lie before its last ones."""
    tail = await read(size - min(FIRST, size - head), size)
    if tail.endswith(_END):
        return End(size)
    for length in (MORE, MOST):
        if tail.endswith(tail[-1:] * _GRAIN):
            return await _before_fill(read, size, head, tail[-1:])
        length = min(length, size - head)
        tail = await read(size - length, size)
        marks = _marks(tail)
        if marks and tail[marks[0] + 1] == _END[1] and _pixels(tail[: marks[0]]):
            return End(size - length + marks[0] + 2)
        if marks or _other(tail):
            break
        if _pixels(tail, 2 if length < MOST else 1):
            return End(fault=_cut(size))
    return await _before_others(read, size, head)


async def _before_fill(read: Read, size: int, head: int, fill: bytes) -> End | Unclear:
    """Of a JPEG that ends in one byte, as zeros, again and again: that follows its end, or stands for it."""
    low, high = head, size - _GRAIN  # something else lies before `low`, nothing else at `high`
    while high - low > _GRAIN:
        middle = (low + high) // 2
        part = (await read(middle, middle + _GRAIN)).rstrip(fill)
        if part:
            low = min(middle + len(part), high)
        else:
            high = middle
    start = max(low - _GRAIN, 0)
    part = (await read(start, min(high + _GRAIN, size))).rstrip(fill)
    end = start + len(part)
    step = max((size - end) // _SAMPLES, 1)
    for at in range(end, size - _GRAIN, step):  # what fills up among the pixels is no end
        if (await read(at, at + _GRAIN)).strip(fill):
            return Unclear.UNCLEAR
    if part.endswith(_END):
        return End(end)
    if not (_pixels(await read(max(end - MORE, 0), end)) or _pixels(await read(max(end - MOST, 0), end))):
        return await _before_others(read, end, head)
    what = f"bytes {fill.hex()}" if any(fill) else "zeros"
    return End(fault=Fault(f"from byte {end} on there are {what}: the end mark is missing", cut_off=True))


async def _before_others(read: Read, size: int, head: int) -> End | Unclear:
    """Of a JPEG that ends in bytes which are no pixels: where these begin."""
    low, last = head, size - _PIECE
    for _ in range(_ROUNDS):
        high = last
        while high - low > _PIECE:
            middle = (low + high) // 2
            if await _among_pixels(read, middle, size):
                low = middle
            else:
                high = middle
        if low == head:
            break
        part = await read(low, high + _PIECE)
        if not _marks(part) and not _is_text(part[-_PIECE // 2 :]):
            part += await read(low + len(part), min(high + _WIDE, size))
        marks = _marks(part)
        if marks:
            at, mark = low + marks[0], part[marks[0] + 1]
            if mark == _END[1]:
                return End(at + 2) if _pixels(part[: marks[0]]) else Unclear.UNCLEAR
            words = f"damaged: at byte {at} stands the mark ff {mark:02x}, where a segment should begin"
            return End(fault=Fault(words))
        if _is_text(part[-_PIECE // 2 :]):
            return End(fault=Fault("it ends in text: the end mark is missing", cut_off=True))
        low = high  # a part of few colors may be pixels, and not look like it
        if low >= last:
            break
    return Unclear.UNCLEAR


async def _among_pixels(read: Read, at: int, size: int) -> bool:
    """Whether bytes look like pixels; where a few hold no mark at all, and might be anything, by more of them."""
    part = await read(at, at + _PIECE)
    if b"\xff" not in part and not _other(part):
        part += await read(at + _PIECE, min(at + _WIDE, size))
    return _pixels(part)


def _other(part: bytes) -> bool:
    """Whether bytes that hold no mark are no pixels: text, or numbers with many zeros."""
    return _is_text(part) or part.count(0) * 8 >= len(part)


def _is_text(part: bytes) -> bool:
    return all(byte in _TEXT for byte in part)


def _marks(part: bytes) -> list[int]:
    """Where marks stand that are none of those among pixels; the first and the last byte may belong to others."""
    found, at = [], part.find(b"\xff", 1)
    while 0 <= at < len(part) - 1:
        if part[at + 1] not in _WITHIN:
            found.append(at)
        at = part.find(b"\xff", at + 1)
    return found


def _pixels(part: bytes, least: int = 1) -> bool:
    """Whether bytes are pixels of a JPEG beyond doubt: so many stuffed ones, no other mark, and few zeros."""
    stuffed = part.count(b"\xff\0") + sum(part.count(bytes((0xFF, mark))) for mark in range(0xD0, 0xD8))
    return stuffed >= least and (part.count(0) - part.count(b"\xff\0")) * 8 < len(part) and not _marks(part)


async def png_end(read: Read, size: int, head: int) -> End | Unclear:
    """Of a PNG whose first chunk is sound, by its other chunks, where its last bytes are no end."""
    length = min(FIRST, size - head)
    if (await read(size - length, size)).endswith(_IEND):
        return End(size)
    at, pixels = _SECOND_CHUNK, False
    for _ in range(_CHUNKS):
        if at + 12 > size:
            return End(fault=_cut(size))
        header = await read(at, at + 12)
        kind = header[4:8].decode("latin-1")
        if not (kind.isascii() and kind.isalpha()):
            return End(fault=Fault(f"at byte {at} a chunk should begin, and none does"))
        end = at + 12 + int.from_bytes(header[:4], "big")
        if end > size:
            return End(fault=Fault(f"cut off in chunk {kind} at byte {size}", cut_off=True))
        if kind == "IEND":
            if header != _IEND:
                return End(fault=Fault(f"the checksum of chunk IEND at byte {at} is wrong"))
            return End(end) if pixels else Unclear.UNCLEAR
        pixels = pixels or kind == "IDAT"
        at = end
    return Unclear.UNCLEAR


async def webp_end(read: Read, size: int, head: bytes) -> tuple[End | Unclear, bytes]:
    """Of a WebP whose header, the first bytes of it, is sound; and the header with the chunks that may turn it.

    One chunk alone, and the pictures of an animation, are not followed: nothing tells where their pixels end.
    """
    end, header = webps.promised(head), webps.header(head)
    if end > size:
        return End(fault=Fault(f"cut off at byte {size} of {end}", cut_off=True)), head
    first = next(webps.chunks(head, webps.FIRST, end), None)
    if first is None or (fault := webps.chunk_fault(*first, end)):
        return Unclear.UNCLEAR, head
    if not header.several or (header.animated and not header.noted):
        return End(end + end % 2), head
    at, seen = webps.SECOND, head[: webps.SECOND]
    for _ in range(_WEBP_CHUNKS):
        if at + 8 > end:
            return End(end + end % 2), seen
        part = head[at:] if at + 8 <= len(head) else await read(at, min(at + FIRST, end))
        _, kind, length = next(webps.chunks(part, 0, len(part)))
        if fault := webps.chunk_fault(at, kind, length, end):
            return End(fault=fault), seen
        stop = at + 8 + length
        if kind in webps.NOTES:
            if length > _LONGEST:
                break
            rest = at + len(part)
            part += await read(rest, stop) if rest < stop else b""
            seen += part[: 8 + length] + bytes(length % 2)
        at = stop + length % 2
    return Unclear.UNCLEAR, head


def _cut(size: int) -> Fault:
    return Fault(f"cut off at byte {size}: the end mark is missing", cut_off=True)
