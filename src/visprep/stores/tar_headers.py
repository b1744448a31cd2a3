"""What lies in a tar file, read in one pass: ustar, pax, GNU, and what came before them.

What is wrong with the archive as a whole is WrongContent. A member that is no sound file is given with its `fault`, as
those of a zip are: a link, a device, a sparse file, a name that leads out of the place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from visprep.errors import UnsafePath, WrongContent
from visprep.stores.gzip_stream import Stream
from visprep.stores.zip_directory import STORED, Fault, Member, bomb, damaged, name_fault

BLOCK = 512
#: Bytes of a long name, or of a list of facts, that are believed.
_LONGEST = 1024 * 1024
_FILE, _FOLDER = frozenset((b"0", b"\0", b"7")), b"5"
_NOTHING = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))  # whatever their size says
_KINDS: Mapping[bytes, str] = {
    b"1": "a hard link to another member", b"2": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe",
    b"S": "a sparse file", b"M": "a part of a file in several archives",
}  # fmt: skip
_DEREFERENCE = "put the file itself into the archive (tar --hard-dereference --dereference), or leave it out"
#: What begins the facts of a sparse file, and as many digits as a size may have.
_SPARSE, _DIGITS = b"GNU.sparse.", 20
_OCTAL = re.compile(rb"[ \0]*([0-7]*)[ \0]*")


@dataclass(frozen=True, slots=True)
class Header:
    """A member as the archive has it: its content lies at `offset`; the next member begins at `end`."""

    name: bytes
    kind: bytes
    size: int
    offset: int
    sparse: bool = False

    @property
    def length(self) -> int:
        """Bytes of its content in the archive."""
        return 0 if self.kind in _NOTHING else self.size

    @property
    def end(self) -> int:
        """Where its last block ends."""
        return self.offset + -(-self.length // BLOCK) * BLOCK

    def member(self, crc: int = 0) -> Member | None:
        """The member with all that stands against reading it; None for the directory of the archive itself."""
        try:
            path, sound = self.name.decode(), True
        except UnicodeDecodeError:
            path, sound = self.name.decode("utf-8", "surrogateescape"), False
        while path.startswith("./"):
            path = path[2:].lstrip("/")
        folder = self.kind == _FOLDER or (self.kind == b"\0" and path.endswith("/"))
        if folder and path in ("", ".", "/"):
            return None
        path = f"{path.rstrip('/')}/" if folder else path
        size = 0 if folder else self.length
        found = Member(path, self.name, self.offset, STORED, 0, crc, size, size, limit=self.offset + size)
        found.fault = name_fault(path, sound) or self._fault(folder)
        return found

    def _fault(self, folder: bool) -> Fault | None:
        if self.sparse or (self.kind not in _FILE and not folder):
            what = (
                "a sparse file" if self.sparse else _KINDS.get(self.kind, f"of a kind {self.kind!r} that is not known")
            )
            return Fault(UnsafePath, f"it is {what}", _DEREFERENCE)
        return None


def headers(stream: Stream, place: str, most_empty: int | None = None) -> Iterator[Header]:
    """The members of a tar file, from `stream.position` on. Whoever takes one may read of its content what he wants.

    WrongContent when it is no tar file, is damaged, is cut off, goes on after its end, or has more than `most_empty`
    bytes that are no content of a member.
    """
    facts: dict[bytes, bytes] = {}
    first = stream.position == 0
    content = stream.position

    def check() -> None:
        if most_empty is not None and stream.position - content > most_empty:
            raise bomb(place, f"{stream.position - content} bytes of it are no content of a file")

    while True:
        at = stream.position
        check()
        block = stream.read(BLOCK)
        if len(block) < BLOCK:
            why = "it is no tar file: less than a header is in it" if block else "it is empty"
            raise damaged(place, "it ends without the mark of its end: it is cut off" if at else why)
        if not block.strip(b"\0"):
            _check_end(stream, place, check)
            return
        header = _parse(block, facts, stream.position, place, first)
        first = False
        if header.kind in (b"x", b"X", b"L", b"K", b"g"):
            text = _text(stream, header, place)
            if header.kind == b"L":
                facts[b"path"] = text.rstrip(b"\0")
            elif header.kind in (b"x", b"X"):
                facts |= _records(text, place)
        else:
            facts = {}
            yield header
            content += header.length
        if stream.position > header.end:
            raise AssertionError("more was read than the content")
        left = header.end - stream.position
        if stream.skip(left) < left:
            raise damaged(place, f"{header.name.decode('utf-8', 'replace')!r} is cut off")


def _parse(block: bytes, facts: Mapping[bytes, bytes], offset: int, place: str, first: bool) -> Header:
    told = _number(block[148:156])
    plain = sum(block) - sum(block[148:156]) + 8 * 32
    if told != plain and told != plain - 256 * sum(byte > 127 for byte in block[:148] + block[156:]):
        why = "it is no tar file" if first else "a header is damaged"
        raise damaged(place, f"{why}: byte {offset - BLOCK}")
    kind, size = block[156:157], _number(block[124:136])
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0" and (lead := block[345:500].split(b"\0", 1)[0]):
        name = lead + b"/" + name
    if b"size" in facts:
        size = int(facts[b"size"]) if facts[b"size"].isdigit() and len(facts[b"size"]) <= _DIGITS else None
    if size is None:
        raise damaged(place, f"a size is not to be read: byte {offset - BLOCK}")
    own = kind in (b"x", b"X", b"L", b"K", b"g")
    return Header(name if own else facts.get(b"path", name), kind, size, offset, _SPARSE in facts)


def _number(field: bytes) -> int | None:
    """A number in octal digits, or in base 256, as GNU tar writes large ones; None when it is none."""
    if field[0] & 0x80:
        return None if field[0] & 0x40 else int.from_bytes(field, "big") - (0x80 << 8 * (len(field) - 1))
    found = _OCTAL.fullmatch(field.split(b"\0", 1)[0])
    return int(found[1] or b"0", 8) if found else None


def _text(stream: Stream, header: Header, place: str) -> bytes:
    if header.size > _LONGEST:
        raise damaged(place, f"a name of {header.size} bytes")
    text = stream.read(header.size)
    if len(text) < header.size:
        raise damaged(place, "it is cut off")
    return text


def _records(text: bytes, place: str) -> dict[bytes, bytes]:
    """Those facts of a pax header that are asked for here: others would fill the memory.

    Each has its length, a space, its name, `=`, its value and a line break.
    """
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(text) and text[at : at + 1] != b"\0":
        length, space, _ = text[at : at + 20].partition(b" ")
        end = at + int(length) if space and length.isdigit() else 0
        name, sign, value = text[at + len(length) + 1 : end - 1].partition(b"=")
        if not (at + len(length) + 3 <= end <= len(text)) or text[end - 1 : end] != b"\n" or not sign:
            raise damaged(place, "an extended header is damaged")
        if b"\0" in value and name == b"path":
            raise WrongContent(f"{place}: a name has a NUL in it", hint="get the archive again, or pack it again")
        if name.startswith(_SPARSE):
            found[_SPARSE] = b""
        elif name in (b"path", b"size"):
            found[name] = value
        at = end
    return found


def _check_end(stream: Stream, place: str, check: Callable[[], None]) -> None:
    """Nothing but zeros may follow the mark of the end: what else there is would be passed over in silence."""
    while block := stream.read(64 * 1024):
        check()
        if block.strip(b"\0"):
            raise damaged(place, "it goes on after the mark of its end, as two archives in one file do (see tar -i)")
