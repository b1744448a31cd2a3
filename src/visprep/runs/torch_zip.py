"""The zip file that a `.pt` file is: where its records lie, and what stands between them.

The records are stored, not deflated, and begin at multiples of 64 bytes, as `torch.save` has them, so that
`torch.load` may map them. Unlike there, the CRC-32 of a record stands before it, and no record says how it was made.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_ALIGNED = 64
#: What fits into the fields of a zip file as it was before zip64.
LIMIT = 0xFFFFFFFF
_MOST = 0xFFFF
_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_END64 = struct.Struct("<4sQHHLLQQQQ")
_LOCATOR = struct.Struct("<4sLQL")
_END = struct.Struct("<4sHHHHLLH")
#: Names are UTF-8; the date is that of the first day that there is.
_FLAGS, _DATE = 0x0800, 0x0021
_PLAIN, _ZIP64 = 20, 45
#: The field for what is only there to be skipped, as PyTorch names it.
_PADDING = b"FB"


@dataclass(frozen=True, slots=True)
class Record:
    """One file in the zip: where its header and its bytes begin."""

    name: bytes
    size: int
    header: int
    start: int


class Layout:
    """Where everything in a zip file lies that has records of these names and sizes, in this order.

    `limit` is the first number that the old fields do not hold.
    """

    def __init__(self, records: Iterable[tuple[str, int]], limit: int = LIMIT) -> None:
        self._limit = limit
        self.records: list[Record] = []
        end = 0
        for name, size in records:
            told = name.encode()
            start = end + _LOCAL.size + len(told) + self._large(size) * 20 + 4
            start += -start % _ALIGNED
            self.records.append(Record(told, size, end, start))
            end = start + size
        self._directory = end
        #: Bytes of the whole file.
        self.size = end + len(self._ending([0] * len(self.records)))

    def _large(self, number: int) -> bool:
        return number >= self._limit

    def write(self, put: Callable[[int, bytes], None], checksums: list[int]) -> None:
        """Put all that stands between the records, with their CRC-32s, to where it belongs."""
        for record, checksum in zip(self.records, checksums, strict=True):
            put(record.header, self._header(record, checksum))
        put(self._directory, self._ending(checksums))

    def _header(self, record: Record, checksum: int) -> bytes:
        large, told = self._large(record.size), LIMIT if self._large(record.size) else record.size
        extra = struct.pack("<HHQQ", 1, 16, record.size, record.size) if large else b""
        padding = record.start - record.header - _LOCAL.size - len(record.name) - len(extra)
        extra += struct.pack("<2sH", _PADDING, padding - 4) + bytes(padding - 4)
        needs = _ZIP64 if large else _PLAIN
        head = _LOCAL.pack(b"PK\3\4", needs, _FLAGS, 0, 0, _DATE, checksum, told, told, len(record.name), len(extra))
        return head + record.name + extra

    def _ending(self, checksums: list[int]) -> bytes:
        directory = b"".join(map(self._entry, self.records, checksums))
        count, begin = len(self.records), self._directory
        ending = b""
        if count >= _MOST or self._large(begin) or self._large(len(directory)):
            sizes = (count, count, len(directory), begin)
            ending = _END64.pack(b"PK\6\6", _END64.size - 12, _ZIP64, _ZIP64, 0, 0, *sizes)
            ending += _LOCATOR.pack(b"PK\6\7", 0, begin + len(directory), 1)
            count, begin = _MOST, LIMIT
        told = LIMIT if ending else len(directory)
        return directory + ending + _END.pack(b"PK\5\6", 0, 0, count, count, told, begin, 0)

    def _entry(self, record: Record, checksum: int) -> bytes:
        size, begin, extra = record.size, record.header, b""
        if self._large(size):
            extra += struct.pack("<QQ", size, size)
            size = LIMIT
        if self._large(begin):
            extra += struct.pack("<Q", begin)
            begin = LIMIT
        if extra:
            extra = struct.pack("<HH", 1, len(extra)) + extra
        needs = _ZIP64 if extra else _PLAIN
        return (
            _CENTRAL.pack(
                b"PK\1\2",
                needs,
                needs,
                _FLAGS,
                0,
                0,
                _DATE,
                checksum,
                size,
                size,
                len(record.name),
                len(extra),
                0,
                0,
                0,
                0,
                begin,
            )
            + record.name
            + extra
        )
