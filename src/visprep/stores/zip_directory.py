"""Where everything lies in a zip file: its end records and its central directory, held against each other.

What is wrong with the archive as a whole (cut off, not a zip, a part of several) is WrongContent at once, since
then nothing in it can be trusted. What is wrong with one member is that member's `fault`: it is listed under its
name, and refuses to be read.

Written after PKWARE's APPNOTE.TXT 6.3.10, whose sections are named where the code follows one.
"""

from __future__ import annotations

import contextlib
import mmap
import re
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from visprep.errors import AccessDenied, StoreError, UnsafePath, WrongContent
from visprep.stores import safe_path

STORED, DEFLATED = 0, 8
#: General purpose bit 3: sizes and CRC follow the data, so the local header may hold zeros (4.4.4).
DESCRIBED_LATER = 0x0008

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s4B4H3L5H2L")
_LONGEST_COMMENT = 0xFFFF
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
_ENCRYPTED, _PATCH, _UTF8 = 0x0001 | 0x0040 | 0x2000, 0x0020, 0x0800
_UNIX, _DARWIN = 3, 19
_ZIP64_EXTRA, _UNICODE_PATH_EXTRA = 0x0001, 0x7075
_DRIVE = re.compile(r"[A-Za-z]:/")
#: What a byte can become at most: 258 bytes from two bits.
_DEFLATE_RATIO = 1032


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may claim to hold.

    Refused is a member of more than `member` bytes, and an archive of more than `total` bytes, when that is also more
    than `ratio` times what it takes up in the archive. In the same way that counts which is no content: the names of
    members are held in memory, and of empty ones there can be many; of a tar file it may be `empty` bytes.
    """

    ratio: int = 200
    member: int = 1 << 30
    total: int = 10 << 30
    empty: int = 256 << 20

    def most(self, size: int) -> int:
        """What an archive of `size` bytes may become."""
        return max(self.total, self.ratio * size)

    def most_empty(self, size: int) -> int:
        """What of that may be no content."""
        return max(self.empty, self.ratio * size)


class Fault(NamedTuple):
    """Why a member cannot be read; `astray` when its name would lead out of the place, or is no name."""

    kind: type[StoreError]
    message: str
    hint: str | None = None
    astray: bool = False


@dataclass(slots=True)
class Member:
    """A file in an archive: `name` is its path as the archive spells it; offsets and sizes are in bytes.

    Its local header begins at `offset`, and whatever follows its data begins at `limit` or later.
    """

    path: str
    name: bytes
    offset: int
    method: int
    flags: int
    crc: int
    compressed: int
    size: int
    fault: Fault | None = None
    limit: int = 0


class _Extent(NamedTuple):
    """Where the central directory lies; offsets in the archive count from `zero`."""

    start: int
    length: int
    members: int
    exact: bool
    zero: int


#: The bytes of an archive between two offsets, wherever it lies.
Look = Callable[[int, int], memoryview]


def window(descriptor: int, start: int, end: int) -> memoryview:
    """The bytes of an open file from `start` to `end`, memory-mapped for as long as a view of them is held."""
    if start >= end:
        return memoryview(b"")
    first = start - start % mmap.ALLOCATIONGRANULARITY
    return memoryview(mmap.mmap(descriptor, end - first, access=mmap.ACCESS_READ, offset=first))[start - first :]


def read_directory(look: Look, size: int, place: str, limits: Limits) -> dict[str, Member]:
    """The members of an archive of `size` bytes by their path, in order of its bytes; `place` is for messages.

    A directory is among them, under a path that ends in `/`, where nothing lies in it. WrongContent when the
    archive is damaged, or claims to hold more than `limits` allow.
    """
    extent = _extent(look, size, place)
    data = bytes(look(extent.start, extent.start + extent.length))
    entries = list(_entries(data, extent, place, limits))
    if len(entries) != extent.members and (extent.exact or (len(entries) - extent.members) % (_MAX16 + 1)):
        raise damaged(place, f"its directory lists {len(entries)} members, its end record {extent.members}")
    _set_limits(entries, extent.start)
    claimed = sum(member.size for member in entries)
    if claimed > limits.most(size):
        raise bomb(place, f"its {size} bytes claim to hold {claimed}")
    return by_path(entries)


def damaged(place: str, why: str) -> WrongContent:
    """The error about an archive, or about a member when `place` names one, that is not what it should be."""
    return WrongContent(f"{place}: {why}", hint="get the archive again: it is damaged, or was made to deceive")


def bomb(place: str, what: str) -> WrongContent:
    """The error about an archive that becomes too much."""
    return WrongContent(f"{place}: {what}: this looks like a zip bomb", hint=_IF_TRUSTED)


#: Directories within directories: no dataset has so many, and making them takes a call within a call for each.
_DEEPEST = 256
_IF_TRUSTED = "if you trust it, unpack it with another tool and name the directory"


def _extent(look: Look, size: int, place: str) -> _Extent:
    """Read the end record (4.3.16), and where that has no room for the numbers, the zip64 one (4.3.14)."""
    first = max(0, size - _END.size - _LONGEST_COMMENT)
    tail = bytes(look(first, size))
    at = _find_end(tail)
    if at < 0:
        raise damaged(place, "no end record where a zip file has it: it is cut off, or something else")
    _, disk, home, here, count, length, offset, _ = _END.unpack_from(tail, at)
    end, exact = first + at, False
    if _MAX16 in (disk, home, here, count) or _MAX32 in (length, offset):
        found = _zip64(look, end, place)
        if found:
            end, disk, home, here, count, length, offset = found
            exact = True
    if disk or home or here != count:
        raise WrongContent(f"{place}: it is one of several parts of an archive", hint="join them first: zip -s 0")
    start = end - length
    if start < offset:
        raise damaged(place, "its directory does not lie where its end record says")
    return _Extent(start, length, count, exact, start - offset)


def _find_end(tail: bytes) -> int:
    """Where the end record begins: the last one whose comment ends with the file, -1 when there is none."""
    at = tail.rfind(b"PK\5\6")
    while at >= 0:
        if len(tail) - at >= _END.size and at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail):
            return at
        at = tail.rfind(b"PK\5\6", 0, at)
    return -1


def _zip64(look: Look, end: int, place: str) -> tuple[int, int, int, int, int, int, int] | None:
    """Where the zip64 end record lies, and its numbers; None where no locator (4.3.15) stands before `end`."""
    locator = end - _LOCATOR.size
    if locator < 0:
        return None
    signature, _, offset, _ = _LOCATOR.unpack(look(locator, end))
    if signature != b"PK\6\7":
        return None
    # The second guess is right where bytes were put before the archive after it was made.
    for at in (offset, locator - _END64.size):
        if 0 <= at <= locator - _END64.size:
            record = _END64.unpack(look(at, at + _END64.size))
            signature, length, _, _, disk, home, here, count, size, start = record
            if signature == b"PK\6\6" and at + 12 + length == locator:
                return at, disk, home, here, count, size, start
    raise damaged(place, "its zip64 end record does not lie where its locator says")


def _entries(data: bytes, extent: _Extent, place: str, limits: Limits) -> Iterator[Member]:
    """The members of a central directory (4.3.12), directories among them, in its order."""
    at = 0
    while at < len(data):
        if len(data) - at < _ENTRY.size or data[at : at + 4] != b"PK\1\2":
            raise damaged(place, f"its directory is damaged at byte {extent.start + at}")
        entry = _ENTRY.unpack_from(data, at)
        _, _, system, _, _, flags, method, _, _, crc, compressed, size = entry[:12]
        name_length, extra_length, comment_length, disk, _, attributes, offset = entry[12:]
        extra_at = at + _ENTRY.size + name_length
        name, extra = data[at + _ENTRY.size : extra_at], data[extra_at : extra_at + extra_length]
        at = extra_at + extra_length + comment_length
        if at > len(data):
            raise damaged(place, "its directory ends within an entry")
        if _MAX32 in (size, compressed, offset) or disk == _MAX16:
            size, compressed, offset, disk = large_numbers(extra, (size, compressed, offset, disk), place)
        path, sound = _path(name, flags, system, extra)
        member = Member(path, name, offset + extent.zero, method, flags, crc, compressed, size)
        if not path and not name:
            raise damaged(place, "a member has no name")
        if size and (path.endswith("/") or not path):
            raise damaged(place, f"{path!r} is a directory, and has content")
        if disk or member.offset >= extent.start:
            raise damaged(place, f"{path!r} does not lie in the archive")
        member.fault = _fault(member, sound, attributes >> 16 if system in (_UNIX, _DARWIN) else 0, limits)
        yield member


def large_numbers(extra: bytes, numbers: tuple[int, int, int, int], place: str) -> list[int]:
    """Size, compressed size, offset and disk, with those that do not fit an entry taken from its extra (4.5.3)."""
    wide = dict(_extras(extra)).get(_ZIP64_EXTRA, b"")
    at, found = 0, []
    for number, width in zip(numbers, (8, 8, 8, 4), strict=True):
        if number != (_MAX16 if width == 4 else _MAX32):
            found.append(number)
            continue
        if at + width > len(wide):
            raise damaged(place, "a size or an offset in its directory is missing")
        found.append(int.from_bytes(wide[at : at + width], "little"))
        at += width
    return found


def _extras(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """The blocks of an extra field; what does not fit is padding, as zipalign makes it."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if at + 4 + length > len(extra):
            return
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length


def _path(name: bytes, flags: int, system: int, extra: bytes) -> tuple[str, bool]:
    """The path that a name spells (appendix D), and False when its bytes are not what they say they are."""
    if name.isascii():
        path = name.decode("ascii")
    elif flags & _UTF8:
        path = name.decode("utf-8", "surrogateescape")
    else:
        path = _unicode_path(name, extra) or _by_system(name, system)
    while path.startswith("./"):  # as tar writes it
        path = path[2:]
    return path, path.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in path)


def _unicode_path(name: bytes, extra: bytes) -> str | None:
    """The name in UTF-8 that Info-ZIP adds (4.6.9), when it belongs to this name."""
    block = dict(_extras(extra)).get(_UNICODE_PATH_EXTRA, b"") if extra else b""
    if block[:1] == b"\1" and int.from_bytes(block[1:5], "little") == zlib.crc32(name):
        return block[5:].decode("utf-8", "surrogateescape")
    return None


def _by_system(name: bytes, system: int) -> str:
    """Code page 437 by the book; but macOS and Unix write what their file systems hold, which is UTF-8."""
    if system in (_UNIX, _DARWIN):
        with contextlib.suppress(UnicodeDecodeError):
            return name.decode("utf-8")
    return name.decode("cp437")


def name_fault(path: str, sound: bool) -> Fault | None:
    """What stands against a name in an archive; `sound` says whether it is text at all."""
    if not sound:
        return Fault(UnsafePath, "its name is not the UTF-8 that it claims to be", _IF_TRUSTED, astray=True)
    try:
        safe_path(path.removesuffix("/") or ".")
    except UnsafePath as error:
        return Fault(UnsafePath, error.message, error.hint, astray=True)
    if _DRIVE.match(path):
        return Fault(UnsafePath, "its name begins with a drive, and leads there on Windows", _IF_TRUSTED, astray=True)
    if path.count("/") > _DEEPEST:
        return Fault(UnsafePath, f"it lies more than {_DEEPEST} directories deep", _IF_TRUSTED, astray=True)
    return None


def _fault(member: Member, sound: bool, mode: int, limits: Limits) -> Fault | None:
    """What stands against reading a member, as far as the directory tells."""
    path, size, compressed = member.path, member.size, member.compressed
    if wrong := name_fault(path, sound):
        return wrong
    if stat.S_IFMT(mode) not in (0, stat.S_IFDIR if path.endswith("/") else stat.S_IFREG):
        kind = "a link" if stat.S_ISLNK(mode) else "not a regular file"
        return Fault(UnsafePath, f"it is {kind}", "put the file itself into the archive, or leave it out")
    if member.flags & _ENCRYPTED:
        return Fault(AccessDenied, "it is encrypted", "unpack it with a tool that asks for the password")
    if member.method not in (STORED, DEFLATED) or member.flags & _PATCH:
        hint = "unpack it with another tool, and pack it again: stored or deflated"
        return Fault(WrongContent, f"it is compressed by method {member.method}, which visprep does not know", hint)
    if member.method == STORED and size != compressed:
        return Fault(WrongContent, f"it is stored in {compressed} bytes, and claims to have {size}")
    if size > _DEFLATE_RATIO * compressed and member.method == DEFLATED:
        return Fault(WrongContent, f"{compressed} compressed bytes cannot be the {size} that it claims to have")
    if size > max(limits.member, limits.ratio * compressed):
        return Fault(WrongContent, f"its {compressed} bytes would become {size}: a zip bomb?", _IF_TRUSTED)
    return None


def _set_limits(entries: list[Member], end: int) -> None:
    """Find what each member must not reach into; one that does has a fault, and so ends the trick of overlaps."""
    ordered = sorted(entries, key=lambda member: member.offset)
    for member, after in pairwise(ordered):
        member.limit = after.offset
    if ordered:
        ordered[-1].limit = end
    for member in ordered:
        # Without the local header's extra, whose length is not known here: reading the member checks again.
        if member.offset + 30 + len(member.name) + member.compressed > member.limit and not member.fault:
            member.fault = Fault(WrongContent, "it overlaps what follows it in the archive")


def by_path(entries: list[Member]) -> dict[str, Member]:
    """The members in order of the bytes of their paths; of several with one path one, which cannot be read.

    Nor can a file with the name of a directory that others lie in.
    """
    found: dict[str, Member] = {}
    folders: set[str] = set()
    for member in entries:
        folder = member.path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    for member in entries:
        if member.path in found and not member.path.endswith("/"):
            member.fault = Fault(WrongContent, "several members have this name", _IF_TRUSTED)
        found[member.path] = member
    found.pop("", None)
    for path, member in found.items():
        # A file stands where others want a directory: whichever came first would keep the other out
        if not path.endswith("/") and path in folders and not member.fault:
            member.fault = Fault(WrongContent, "it is a file, and other members lie in a directory of this name")
    ordered = sorted(found, key=lambda path: path.encode("utf-8", "surrogateescape"))
    inside = (after.startswith(path) for path, after in pairwise([*ordered, ""]))
    # A directory that holds something is followed by it.
    return {path: found[path] for path, full in zip(ordered, inside, strict=True) if not (full and path.endswith("/"))}
