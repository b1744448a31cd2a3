"""Reading big JSON of COCO's shape in bounded memory: an object whose long members are arrays of records.

`scan` walks a file once and hands on its top-level members: arrays as runs of whole records of about a megabyte, each
decoded by msgspec, anything else as one value. A run is cut where the next record seems to begin; that it was cut right
is proved by decoding it, since a text that is JSON between brackets ends where an element ends. Where that proof
fails, the run is cut by counting brackets, and what is wrong with single records is left for the reader to say.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from visprep.formats.coco_bytes import BLANKS, STRING, TooDeep, blank, element_end, gap_at, shown

#: Bytes that are read and decoded at a time.
BLOCK = 1024 * 1024
#: Bytes that one record, or one value that is no array, may have: all of it is held in memory.
LARGEST = 8 * 1024 * 1024
#: Members that an object at the top may have, and bytes of their keys.
_MEMBERS, _KEY = 1_000, 4_096

T = TypeVar("T")

Raw = msgspec.Raw
Ints = npt.NDArray[np.int64]

_RAWS = msgspec.json.Decoder(list[Raw])
_LEAD = re.compile(rb'\{[ \t\n\r]*"[^"\\]{0,64}"')


class Malformed(ValueError):
    """The text cannot be read on from byte `offset`.

    `reason` is `empty`, `encoding`, `cut` (it ends too early), `syntax`, `deep` (it nests beyond reason), or `large` (a
    part is too big to look into).
    `line` and `column` count from 1; the column counts bytes.
    """

    def __init__(self, reason: str, offset: int, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.reason, self.offset, self.message, self.line, self.column = reason, offset, message, line, column


@dataclass(frozen=True, slots=True)
class Opened:
    """An array at the top begins: the bracket stands at byte `offset`.

    Where it is the `whole` file, its key is ''.
    """

    key: str
    offset: int
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """An array ends: its closing bracket stands at byte `offset`; it had `count` elements."""

    key: str
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Value:
    """A member at the top that is no array. `data` are its bytes, which begin at byte `offset` of the file."""

    key: str
    offset: int
    data: bytes
    line: int
    column: int

    def decoded(self) -> Any:
        """The value; ValueError or RecursionError when it is no JSON."""
        return msgspec.json.decode(self.data)


@dataclass(frozen=True, slots=True)
class Records:
    """Some whole elements of an array, in order.

    `data` are their bytes between brackets; the first element begins at byte `offset` of the file, on `line` and
    `column` of it, and is the `first` of its array. `rows` are the elements as the decoder for this key made them; None
    when at least one of them is not of that type, or no JSON at all: `elements` hands them out one by one.
    """

    key: str
    first: int
    count: int
    offset: int
    data: bytes
    rows: list[Any] | None
    line: int
    column: int

    def elements(self) -> Iterator[tuple[int, bytes]]:
        """Where each element begins in the file, and its bytes, whatever they are."""
        at, end = 1, len(self.data) - 1
        while at < end:
            stop = element_end(self.data, at, whole=True)
            assert stop is not None  # the scanner has been through here
            yield self.offset + at - 1, self.data[at:stop]
            at = blank(self.data, stop)
            at = blank(self.data, at + 1)

    def spans(self) -> tuple[Ints, Ints]:
        """Where each element begins in the file, and its length in bytes."""
        try:
            raws = _RAWS.decode(self.data)
        except (msgspec.DecodeError, RecursionError):
            return self._spans_by_brackets()
        views: Iterator[Any] = map(memoryview, raws)
        lengths = np.fromiter(map(len, views), np.int64, len(raws))
        gap = gap_at(self.data, 1 + int(lengths[0]))
        starts = np.concatenate([[1], 1 + np.cumsum(lengths[:-1] + len(gap))])
        # By induction: the first begins at 1; so each next one does, where this very gap and no blank come after
        text = np.frombuffer(self.data, np.uint8)
        regular = len(raws) == 1 or int(starts[-1]) < len(text)
        if regular and len(raws) > 1:
            between = text[(starts[1:, None] - len(gap)) + np.arange(len(gap))]
            regular = bool((between == np.frombuffer(gap, np.uint8)).all()) and not np.isin(text[starts], BLANKS).any()
        return (starts + (self.offset - 1), lengths) if regular else self._spans_by_brackets()

    def positions(self, bytes_: Ints) -> tuple[Ints, Ints]:
        """The lines and columns of some bytes of the file that are among these, in order."""
        breaks = np.flatnonzero(np.frombuffer(self.data, np.uint8) == 0x0A) + (self.offset - 1)
        lines = np.searchsorted(breaks, bytes_)
        before = np.concatenate([[self.offset - self.column], breaks])
        return lines + self.line, bytes_ - before[lines]

    def _spans_by_brackets(self) -> tuple[Ints, Ints]:
        found = [(start, len(data)) for start, data in self.elements()]
        pairs = np.array(found, np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]


Event = Opened | Closed | Records | Value


def scan(chunks: Iterable[bytes], decoders: Mapping[str, msgspec.json.Decoder[list[Any]]]) -> Iterator[Event]:
    """Walk through a file, whose bytes come in `chunks`; Malformed where it cannot be read on.

    The top must be an object, or one list, which counts as an array with the key ''. `decoders` make the rows of the
    arrays of that key; the rows of others are `msgspec.Raw`. Keys may come twice. Needs memory for a few blocks, or
    for the largest record: no more than some 20 MB, whatever the file holds.
    """
    text = _Text(iter(chunks))
    try:
        yield from _top(text, decoders)
    except _Wrong as wrong:
        line, column = text.position(wrong.at)
        raise Malformed(wrong.reason, text.base + wrong.at, wrong.message, line, column) from None
    except TooDeep as deep:
        line, column = text.position(deep.at)
        raise Malformed("deep", text.base + deep.at, str(deep), line, column) from None


class _Wrong(Exception):
    """What is wrong at a position of the buffer."""

    def __init__(self, reason: str, at: int, message: str) -> None:
        super().__init__(message)
        self.reason, self.at, self.message = reason, at, message


class _Text:
    """The part of the file that is held: `data`, which begins at byte `base`; `at` is what comes next."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.data, self.base, self.at = b"", 0, 0
        self.ended = False
        self._line, self._line_start, self._counted = 1, 0, 0

    def fill(self, size: int) -> bool:
        """Hold `size` bytes from `at` on, or all that are left; whether there are so many."""
        if not self.ended and len(self.data) - self.at < size:
            self.position(self.at)
            parts, held = [self.data[self.at :]], len(self.data) - self.at
            while held < size and not self.ended:
                chunk = next(self._chunks, b"")
                self.ended = not chunk
                parts.append(chunk)
                held += len(chunk)
            self.base += self.at
            self.data, self.at, self._counted = b"".join(parts), 0, 0
        return len(self.data) - self.at >= size

    def position(self, at: int) -> tuple[int, int]:
        """Line and column of a position that is not before those asked for earlier."""
        if at > self._counted:
            lines = self.data.count(b"\n", self._counted, at)
            if lines:
                self._line += lines
                self._line_start = self.base + self.data.rfind(b"\n", self._counted, at) + 1
            self._counted = at
        return self._line, self.base + at - self._line_start + 1

    def peek(self) -> bytes:
        """The next byte that is no blank, b"" at the end; `at` stands before it then."""
        while True:
            self.at = blank(self.data, self.at)
            if self.at < len(self.data):
                return self.data[self.at : self.at + 1]
            if not self.fill(1):
                return b""

    def expect(self, wanted: bytes, where: str) -> bytes:
        """Step over the next byte, which must be one of `wanted`."""
        found = self.peek()
        if not found:
            raise _Wrong("cut", self.at, f"the file ends {where}")
        if found not in wanted:
            raise _Wrong("syntax", self.at, f"{shown(found)} stands {where}")
        self.at += 1
        return found

    def string(self, where: str) -> str:
        """Step over a key."""
        self.expect(b'"', where)
        self.at -= 1
        self.fill(_KEY)
        found = STRING.match(self.data, self.at)
        if found is None or found.end(1) < 0 or found.end() - self.at > _KEY:
            if self.ended and len(self.data) - self.at <= _KEY:
                raise _Wrong("cut", len(self.data), "the file ends within a key")
            raise _Wrong("large", self.at, f"a key at the top has more than {_KEY:,} bytes")
        try:
            key = msgspec.json.decode(found[0], type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _Wrong("syntax", self.at, "a key is no JSON string") from None
        self.at = found.end()
        return key

    def value_end(self, what: str) -> int:
        """Where the value that begins at `at` ends; all of it is held then."""
        want = BLOCK
        while True:
            full = self.fill(want)
            end = element_end(self.data, self.at, whole=not full and self.ended)
            if end is not None and end - self.at <= LARGEST:
                if end == self.at:
                    raise _Wrong("syntax", self.at, f"{shown(self.data[self.at : self.at + 1])} where {what} should be")
                return end
            if end is not None or len(self.data) - self.at > LARGEST:
                raise _Wrong("large", self.at, f"{what} has more than {LARGEST:,} bytes")
            if not full:
                raise _Wrong("cut", len(self.data), f"the file ends within {what}")
            want *= 2


def _top(text: _Text, decoders: Mapping[str, msgspec.json.Decoder[list[Any]]]) -> Iterator[Event]:
    text.fill(BLOCK)
    if text.data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _Wrong("encoding", 0, "the file begins with a byte order mark: JSON is UTF-8 without one")
    if not text.peek():
        raise _Wrong("empty", text.at, "the file holds nothing" if not text.base + text.at else "the file is blank")
    if text.peek() == b"[":
        yield from _array(text, "", decoders.get("", _RAWS), whole=True)
    else:
        text.expect(b"{", "where an object or a list should begin")
        yield from _members(text, decoders)
    if text.peek():
        raise _Wrong("syntax", text.at, f"{shown(text.peek())} comes after the end of the JSON")


def _members(text: _Text, decoders: Mapping[str, msgspec.json.Decoder[list[Any]]]) -> Iterator[Event]:
    if text.peek() == b"}":
        text.at += 1
        return
    for _ in range(_MEMBERS):
        key = text.string("where a key should begin")
        text.expect(b":", "after a key")
        if text.peek() == b"[":
            yield from _array(text, key, decoders.get(key, _RAWS))
        else:
            end = text.value_end(f"the value of {key[:100]!r}")
            yield Value(key, text.base + text.at, text.data[text.at : end], *text.position(text.at))
            text.at = end
        if text.expect(b",}", f"after the value of {key[:100]!r}") == b"}":
            return
    raise _Wrong("large", text.at, f"the object at the top has more than {_MEMBERS:,} members")


def _array(text: _Text, key: str, decoder: msgspec.json.Decoder[list[Any]], whole: bool = False) -> Iterator[Event]:
    yield Opened(key, text.base + text.at, whole)
    text.at += 1
    first = 0
    if text.peek() != b"]":
        lead: bytes | None = None
        while True:
            text.fill(BLOCK)
            if lead is None:
                begun = _LEAD.match(text.data, text.at)
                lead = begun[0] if begun else b""
            records = _run(text, key, first, lead, decoder)
            yield records
            first += records.count
            if text.expect(b",]", f"after an element of {_named(key)}") == b"]":
                text.at -= 1
                break
            text.peek()
    yield Closed(key, text.base + text.at, first)
    text.at += 1


def _run(text: _Text, key: str, first: int, lead: bytes, decoder: msgspec.json.Decoder[list[Any]]) -> Records:
    """The next elements of an array; `text` stands behind the last of them then."""
    end = _guess(text, lead)
    rows, counted, data = None, 0, b""
    if end is not None:
        data = b"".join((b"[", memoryview(text.data)[text.at : end], b"]"))
        rows = _decoded(data, decoder)
        counted = len(rows or ())
    if rows is None:
        end, counted = _by_brackets(text, key)
        data = b"".join((b"[", memoryview(text.data)[text.at : end], b"]"))
        rows = _decoded(data, decoder)
    if not data.isascii():
        _check_encoding(text, data)
    records = Records(key, first, counted, text.base + text.at, data, rows, *text.position(text.at))
    assert end is not None
    text.at = end
    return records


def _decoded(data: bytes, decoder: msgspec.json.Decoder[list[Any]]) -> list[Any] | None:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _check_encoding(text: _Text, data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as problem:
        at = text.at + problem.start - 1
        raise _Wrong("encoding", at, f"byte 0x{data[problem.start]:02x} is not UTF-8") from None


def _named(key: str) -> str:
    return repr(key[:100]) if key else "the list"


def _guess(text: _Text, lead: bytes) -> int | None:
    """Where an element seems to end: before a comma, and what the first element of this array began with."""
    at = text.data.rfind(lead, text.at + 1) if lead else -1
    if at < 0:
        return None
    before = text.data[text.at : at].rstrip(b" \t\n\r") if text.data[at - 1] in b" \t\n\r" else None
    comma = at - 1 if before is None else text.at + len(before) - 1
    return comma if comma > text.at and text.data[comma] == 0x2C else None


def _by_brackets(text: _Text, key: str) -> tuple[int, int]:
    """Where the last whole element that is held ends, and how many they are, by counting brackets."""
    end = text.value_end(f"an element of {_named(key)}")
    count = 1
    while True:
        comma = blank(text.data, end)
        if text.data[comma : comma + 1] != b",":
            return end, count
        begin = blank(text.data, comma + 1)
        stop = element_end(text.data, begin, whole=False)
        if stop is None or stop == begin or stop - begin > LARGEST:
            return end, count
        end, count = stop, count + 1


def ended(steps: Generator[None, None, T]) -> T:
    """What comes of steps that are gone all at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
