"""The bytes of one member of a zip file: whole, or piece by piece, and never other bytes than its directory promises.

Inflating and CRCs come from ISA-L where the package `isal` is there, from zlib where it is not: the same results,
in two thirds of the time.
"""

from __future__ import annotations

import struct
import zlib

from visprep.digests import fast_zlib as _zlib
from visprep.errors import WrongContent
from visprep.stores.zip_directory import DESCRIBED_LATER, STORED, Look, Member, damaged, large_numbers

_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_EXTRA = 0xFFFF
_MAX32 = 0xFFFFFFFF
#: Compressed bytes that are held at a time.
_PIECE = 256 * 1024


def whole(view: memoryview, member: Member, place: str) -> memoryview | bytes:
    """All bytes of a member, checked; `view` begins with its local header, and ends at its limit or later.

    What is stored is not copied: a view comes back. WrongContent when it is not what the directory promises.
    """
    start = _data_start(view, member, place)
    data: memoryview | bytes = view[start : start + member.compressed]
    if member.method != STORED:
        inflating = _zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # One byte more than was promised would show, and no further one is ever made.
            data = inflating.decompress(data, member.size + 1)
        except _zlib.error as error:
            raise _undecodable(member, place, error) from None
        if len(data) == member.size and not (inflating.eof and not inflating.unused_data):
            raise _does_not_end(member, place)
    if len(data) != member.size:
        raise _wrong_size(member, place, len(data))
    if (crc := _zlib.crc32(data)) != member.crc:
        raise _wrong_crc(member, place, crc)
    return data


def as_it_came(view: memoryview, member: Member) -> bytes:
    """What can be had of a member whose bytes are wrong, unchecked: its data, as far as they inflate."""
    try:
        data = view[_data_start(view, member, "") :][: member.compressed]
        if member.method == STORED:
            return bytes(data)
        inflated: bytes = _zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
    except (WrongContent, _zlib.error):
        return bytes(view)
    return inflated


class MemberStream:
    """A member read from its beginning, as much at a time as is asked for; checked when its end is reached.

    It can stop for any time: between two reads it holds no file open, and no more than a few hundred kilobytes.
    """

    def __init__(self, look: Look, member: Member, place: str) -> None:
        self._look, self._member, self._place = look, member, place
        header = look(member.offset, min(member.limit, member.offset + _longest_header(member)))
        self._start = member.offset + _data_start(header, member, place)
        self.position = 0
        self._crc: int | None = 0
        self._inflating = None if member.method == STORED else _zlib.decompressobj(-zlib.MAX_WBITS)
        self._taken = 0
        self._held = b""

    def skip(self, position: int) -> None:
        """Go on at `position`. Of a stored member nothing is read for that, and so its CRC is not checked."""
        if self._inflating is None and position != self.position:
            self.position, self._crc = position, None
        while self.position < position:
            self.read(min(_PIECE, position - self.position))

    def read(self, length: int) -> bytes:
        """The next `length` bytes, fewer at the end. WrongContent when they are not those that were promised."""
        wanted = min(length, self._member.size - self.position)
        data = self._stored(wanted) if self._inflating is None else self._inflated(wanted)
        if len(data) < wanted:
            raise _wrong_size(self._member, self._place, self.position + len(data))
        if self._crc is not None:
            self._crc = _zlib.crc32(data, self._crc)
        self.position += len(data)
        if self.position == self._member.size:
            self._finish()
        return data

    def _stored(self, wanted: int) -> bytes:
        at = self._start + self.position
        return bytes(self._look(at, at + wanted))

    def _inflated(self, wanted: int) -> bytes:
        pieces, missing = [], wanted
        while missing:
            data = self._inflate(missing)
            if not data and not self._more():
                break
            pieces.append(data)
            missing -= len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _inflate(self, most: int) -> bytes:
        """Up to `most` further bytes; none when more compressed bytes are needed, or there are no more."""
        inflating = self._inflating
        assert inflating is not None
        if inflating.eof:
            return b""
        if not self._held and self._more():
            at = self._start + self._taken
            self._held = bytes(self._look(at, at + self._piece()))
            self._taken += len(self._held)
        try:
            data: bytes = inflating.decompress(self._held, most)
        except _zlib.error as error:
            raise _undecodable(self._member, self._place, error) from None
        self._held = inflating.unconsumed_tail
        return data

    def _piece(self) -> int:
        return min(_PIECE, self._member.compressed - self._taken)

    def _more(self) -> bool:
        """Whether compressed bytes are left that inflating has not had."""
        return bool(self._inflating and not self._inflating.eof and (self._held or self._piece()))

    def _finish(self) -> None:
        inflating = self._inflating
        if inflating is not None:
            more = True
            while more and not inflating.eof:
                more = self._more()  # without more, the end may still be in bits that inflating has taken
                if self._inflate(1):
                    raise _wrong_size(self._member, self._place, self.position + 1)
            if not inflating.eof or inflating.unused_data or self._piece():
                raise _does_not_end(self._member, self._place)
        if self._crc not in (None, self._member.crc):
            raise _wrong_crc(self._member, self._place, self._crc)


def _longest_header(member: Member) -> int:
    return _LOCAL.size + len(member.name) + _LONGEST_EXTRA


def _data_start(view: memoryview, member: Member, place: str) -> int:
    """Where the data begins, counted from the local header (4.3.7), which must say what the directory says."""
    if len(view) < _LOCAL.size:
        raise _disagrees(member, place, "is cut off")
    header = _LOCAL.unpack_from(view)
    signature, _, flags, method, _, _, crc, compressed, size, name_length, extra_length = header
    start: int = _LOCAL.size + name_length + extra_length
    if signature != b"PK\3\4":
        raise _disagrees(member, place, "is not there")
    if view[_LOCAL.size : _LOCAL.size + name_length] != member.name:
        raise _disagrees(member, place, "names another file")
    if method != member.method or flags & 1 != member.flags & 1:
        raise _disagrees(member, place, "tells another compression or encryption")
    if _MAX32 in (size, compressed):
        extra = bytes(view[start - extra_length : start])
        size, compressed, _, _ = large_numbers(extra, (size, compressed, 0, 0), place)
    known = (member.crc, member.size, member.compressed)
    if (crc, size, compressed) != known:
        for what, told, true in zip(("CRC", "size", "compressed size"), (crc, size, compressed), known, strict=True):
            if told != true and not (flags & DESCRIBED_LATER and told == 0):
                raise _disagrees(member, place, f"tells another {what}")
    if member.offset + start + member.compressed > member.limit:
        raise damaged(f"{place}: {member.path}", "it overlaps what follows it in the archive")
    return start


def _disagrees(member: Member, place: str, how: str) -> WrongContent:
    return damaged(f"{place}: {member.path}", f"its local header {how}, against the archive's directory")


def _undecodable(member: Member, place: str, error: Exception) -> WrongContent:
    return damaged(f"{place}: {member.path}", f"its compressed bytes are damaged ({error})")


def _does_not_end(member: Member, place: str) -> WrongContent:
    return damaged(f"{place}: {member.path}", "its compressed bytes do not end where they should")


def _wrong_size(member: Member, place: str, found: int) -> WrongContent:
    less = "fewer" if found < member.size else "more"
    return damaged(f"{place}: {member.path}", f"it has {less} bytes than the {member.size} that were promised")


def _wrong_crc(member: Member, place: str, found: int | None) -> WrongContent:
    why = f"its CRC-32 is {found or 0:08x}, and the archive tells {member.crc:08x}"
    return damaged(f"{place}: {member.path}", why)
