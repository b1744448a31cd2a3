"""Zip files as no packer would write them: every field of every header can be made to lie."""

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

MAX16, MAX32 = 0xFFFF, 0xFFFFFFFF


@dataclass
class Entry:
    """A member. `held` is what lies in the archive; fields left out are true, and `local` changes the local header.

    `hole` puts so many zero bytes in the place of `held`, without writing them. `after` follows the data.
    """

    name: bytes
    held: bytes = b""
    method: int = 0
    flags: int = 0
    size: int | None = None
    crc: int | None = None
    compressed: int | None = None
    system: int = 3
    mode: int = 0o100644
    extra: bytes = b""
    local_extra: bytes = b""
    local: dict = field(default_factory=dict)
    hole: int = 0
    offset: int | None = None
    disk: int = 0
    after: bytes = b""

    def __post_init__(self):
        content = zlib.decompress(self.held, -15) if self.method == 8 and None in (self.size, self.crc) else self.held
        self.size = self.hole or len(content) if self.size is None else self.size
        self.crc = zlib.crc32(content) if self.crc is None else self.crc
        self.compressed = self.hole or len(self.held) if self.compressed is None else self.compressed


def deflate(data, level=6):
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def deflated(name, data, **fields):
    """A member that is compressed; its CRC and size are those of `data` unless `fields` say otherwise."""
    return Entry(name, deflate(data), **{"method": 8, "size": len(data), "crc": zlib.crc32(data)} | fields)


def write_zip(path, entries, *, before=b"", comment=b"", count=None, disk=0, shift=0):
    """Write an archive to `path`, with zip64 records where a number asks for them, and give the path back.

    `before` is put in front of the finished archive; `count`, `disk` and `shift` (of the directory) change the end.
    """
    with Path(path).open("wb") as file:
        for entry in entries:
            start = file.tell()
            entry.offset = start if entry.offset is None else entry.offset
            file.write(_local_header(entry))
            file.write(entry.held)
            file.seek(entry.hole, 1)
            file.write(entry.after)
        directory = file.tell()
        for entry in entries:
            file.write(_directory_entry(entry))
        length = file.tell() - directory
        many = len(entries) if count is None else count
        if many > MAX16 or directory > MAX32:
            record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, many, many, length, directory)
            file.write(record + struct.pack("<4sLQL", b"PK\6\7", 0, directory + length, 1))
        many, directory = min(many, MAX16), min(directory + shift, MAX32)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", disk, disk, many, many, length, directory, len(comment)))
        file.write(comment)
    if before:
        Path(path).write_bytes(before + Path(path).read_bytes())
    return Path(path)


def _zip64(numbers):
    wide = [number for number in numbers if number >= MAX32]
    extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    return [min(number, MAX32) for number in numbers], extra


def _local_header(entry):
    told = {"signature": b"PK\3\4", "name": entry.name, "flags": entry.flags, "method": entry.method}
    told |= {"crc": entry.crc, "size": entry.size, "compressed": entry.compressed} | entry.local
    large = told["size"] >= MAX32 or told["compressed"] >= MAX32
    (size, compressed), extra = [told["size"], told["compressed"]], b""
    if large:
        extra = struct.pack("<2H2Q", 1, 16, size, compressed)
        size = compressed = MAX32
    extra += entry.local_extra
    fixed = (told["signature"], 20, told["flags"], told["method"], 0, 0, told["crc"], compressed, size)
    return struct.pack("<4s5H3L2H", *fixed, len(told["name"]), len(extra)) + told["name"] + extra


def _directory_entry(entry):
    (size, compressed, offset), wide = _zip64([entry.size, entry.compressed, entry.offset])
    extra = wide + entry.extra
    fixed = (b"PK\1\2", 20, entry.system, 20, 0, entry.flags, entry.method, 0, 0, entry.crc, compressed, size)
    lengths = (len(entry.name), len(extra), 0, entry.disk, 0)
    return struct.pack("<4s4B4H3L5H2L", *fixed, *lengths, entry.mode << 16, offset) + entry.name + extra
