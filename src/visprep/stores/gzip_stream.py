"""A gzip file inflated from its beginning or from the middle, with the checks at its end, whatever is read of it."""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from visprep.digests import fast_zlib as _zlib
from visprep.errors import WrongContent
from visprep.stores.deflate_points import FAR, KEPT, Point, find
from visprep.stores.zip_directory import bomb, damaged

#: The next compressed bytes, as many as come at once; none at the end.
Source = Callable[[], bytes | memoryview]
#: Inflated bytes that are made at once, at most: a few compressed ones can become a thousand times as many.
_MOST = 4 * 1024 * 1024
#: Compressed bytes that are fed at once: of more, ISA-L makes half as many in the same time.
_FED = 256 * 1024
_LONGEST_HEADER = 128 * 1024
_TRAILER = struct.Struct("<2L")
_HEADER_CRC, _EXTRA, _NAME, _COMMENT, _RESERVED = 2, 4, 8, 16, 0xE0


class Stream(Protocol):
    """Bytes in their order; `position` counts those that were read or skipped."""

    position: int

    def read(self, length: int) -> bytes:
        """The next bytes, fewer only at the end."""
        ...

    def skip(self, length: int) -> int:
        """Pass over the next bytes; how many there were."""
        ...


@dataclass(frozen=True, slots=True)
class Restart:
    """Where to go on: the source gives the compressed bytes from `offset` on, and what comes begins at `position`.

    Without a `point` a gzip member begins there; else `crc` and `begin` are of the member that goes on there: the
    CRC-32 of what came of it, and at which position it began.
    """

    offset: int = 0
    position: int = 0
    point: Point | None = None
    crc: int = 0
    begin: int = 0


class GzipStream:
    """What is in a gzip file of one or several members; WrongContent where it is damaged, or ends too early.

    About every `spacing` bytes `on_restart` is told where one can go on later, without `spacing` never. It is
    WrongContent, too, when it becomes more than `most` bytes, whatever is made of them.
    """

    def __init__(
        self,
        source: Source,
        place: str,
        start: Restart | None = None,
        *,
        spacing: int | None = None,
        on_restart: Callable[[Restart], None] | None = None,
        most: int | None = None,
    ) -> None:
        start = start or Restart()
        self._source, self._place = source, place
        self._spacing, self._on_restart, self._most = spacing, on_restart, most
        self.position = start.position
        self._held = memoryview(b"")
        # Compressed: where `_rest` begins. Inflated: how much was made
        self._offset, self._made = start.offset, start.position
        self._rest, self._given = b"", memoryview(b"")
        self._told = start.position
        self._inflating = start.point.inflating() if start.point else None
        self._lead = start.point.lead if start.point else b""
        self._crc, self._begin = start.crc, start.begin
        self._ended = False
        self._fed: deque[bytes] = deque()
        self._came: deque[tuple[int, bytes]] = deque()  # each with the CRC before it
        self._keep(start.point.window if start.point else b"")

    def read(self, length: int) -> bytes:
        """See `Stream`."""
        pieces, missing = [], length
        while missing:
            if not self._held and not self._more():
                break
            piece, self._held = self._held[:missing], self._held[missing:]
            pieces.append(piece)
            missing -= len(piece)
        self.position += length - missing
        return b"".join(pieces)

    def skip(self, length: int) -> int:
        """See `Stream`."""
        missing = length
        while missing and (self._held or self._more()):
            passed = min(missing, len(self._held))
            self._held = self._held[passed:]
            missing -= passed
        self.position += length - missing
        return length - missing

    def _more(self) -> bool:
        """Inflate what comes next; False at the end."""
        while not self._held and not self._ended:
            if self._inflating is None:
                self._begin_member()
            else:
                self._inflate()
        return bool(self._held)

    def _next(self) -> bool:
        """Add to `_rest` what the source gives; False at its end."""
        if not self._given:
            self._given = memoryview(self._source())
        found, self._given = bytes(self._given[:_FED]), self._given[_FED:]
        self._rest = self._rest + found if self._rest else found
        return bool(found)

    def _inflate(self) -> None:
        if not self._rest and not self._next():
            raise self._damaged("it is cut off")
        inflating = self._inflating
        assert inflating is not None
        try:
            came: bytes = inflating.decompress(self._lead + self._rest, _MOST)
        except _zlib.error as error:
            raise self._damaged(f"it cannot be inflated: {error}") from None
        self._lead = b""
        left = bytes(inflating.unused_data if inflating.eof else inflating.unconsumed_tail)
        taken, self._rest = self._rest[: len(self._rest) - len(left)], left
        self._offset += len(taken)
        self._remember(taken, came)
        self._crc = _zlib.crc32(came, self._crc)
        self._made += len(came)
        if self._most is not None and self._made > self._most:
            raise bomb(self._place, f"its first {self._offset} bytes have become {self._made}")
        self._held = memoryview(came)
        if inflating.eof:
            self._end_member()
        elif not self._rest and self._spacing and self._made - self._told >= self._spacing:
            self._told = self._made
            self._look_for_point()

    def _remember(self, taken: bytes, came: bytes) -> None:
        """Keep the last of what was fed and of what came, to find where to go on."""
        if self._spacing is None:
            return
        self._fed.append(taken)
        self._came.append((self._crc, came))
        # As much as is wanted must be left without the first
        while len(self._fed) > 1 and sum(map(len, self._fed)) - len(self._fed[0]) >= FAR:
            self._fed.popleft()
        while len(self._came) > 1 and sum(len(kept) for _, kept in self._came) - len(self._came[0][1]) >= KEPT:
            self._came.popleft()

    def _keep(self, window: bytes) -> None:
        self._fed.clear()
        self._came.clear()
        if window:
            self._came.append((-1, window))

    def _look_for_point(self) -> None:
        inflated = b"".join(came for _, came in self._came)
        point = find(b"".join(self._fed), inflated, self._offset, self._made)
        if point is None or self._on_restart is None:
            return
        at = self._made - len(inflated)
        for crc, came in self._came:
            if crc >= 0 and at <= point.position <= at + len(came):
                crc = _zlib.crc32(came[: point.position - at], crc)
                self._on_restart(Restart(point.offset, point.position, point, crc, self._begin))
                return
            at += len(came)

    def _begin_member(self) -> None:
        """Read a header, or find that nothing follows."""
        first = self._offset == 0
        if not self._rest and not self._next():
            self._ended = True
            if first:
                raise self._damaged("it is empty")
            return
        if not first and not self._rest.strip(b"\0"):  # what tapes and disks fill their last block with
            self._offset += len(self._rest)
            self._rest = b""
            return
        if not first and self._spacing and self._on_restart and self._made - self._told >= self._spacing:
            self._told = self._made
            self._on_restart(Restart(self._offset, self._made, None, 0, self._made))
        while (length := self._header()) is None:
            if len(self._rest) > _LONGEST_HEADER or not self._next():
                raise self._damaged("it is cut off" if len(self._rest) < _LONGEST_HEADER else "its header has no end")
        self._offset += length
        self._rest = self._rest[length:]
        self._inflating = _zlib.decompressobj(-zlib.MAX_WBITS)
        self._crc, self._begin = 0, self._made
        self._keep(b"")

    def _header(self) -> int | None:
        """Bytes of the header that `_rest` begins with (RFC 1952, 2.3); None when it does not hold all of it."""
        head = self._rest
        if head[:3] != b"\x1f\x8b\x08"[: len(head)] or (len(head) > 3 and head[3] & _RESERVED):
            after = "what follows its end is no gzip file" if self._offset else "it is no gzip file"
            raise self._damaged(after)
        if len(head) < 10:
            return None
        flags, at = head[3], 10
        if flags & _EXTRA:
            if len(head) < at + 2:
                return None
            at += 2 + int.from_bytes(head[at : at + 2], "little")
        for text in (_NAME, _COMMENT):
            if flags & text:
                at = head.find(b"\0", at) + 1
                if not at:
                    return None
        at += 2 if flags & _HEADER_CRC else 0
        return at if at <= len(head) else None

    def _end_member(self) -> None:
        while len(self._rest) < _TRAILER.size:
            if not self._next():
                raise self._damaged("it is cut off")
        crc, size = _TRAILER.unpack_from(self._rest)
        if crc != self._crc or size != (self._made - self._begin) & 0xFFFFFFFF:
            raise self._damaged(f"its CRC-32 is {self._crc:08x}, and {crc:08x} is recorded at its end")
        self._offset += _TRAILER.size
        self._rest = self._rest[_TRAILER.size :]
        self._inflating = None

    def _damaged(self, why: str) -> WrongContent:
        return damaged(self._place, why)
