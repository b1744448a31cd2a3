"""Finding one's way in the bytes of JSON without decoding it: where values end, and where members begin."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import numpy as np

BLANKS = np.frombuffer(b" \t\n\r", np.uint8)
_BLANK = re.compile(rb"[ \t\n\r]*")
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(")?'
_TOKEN = re.compile(_TEXT + rb"|[{}\[\]]", re.DOTALL)
#: A string; its first group is missing where the string is not closed.
STRING = re.compile(_TEXT, re.DOTALL)
_SCALAR = re.compile(rb'[^ \t\n\r,:\[\]{}"]+')


#: Lists and objects within each other that are followed: parsers give up long before.
DEEPEST = 5_000


class TooDeep(ValueError):
    """Lists or objects nest deeper than anybody reads; `at` is where they do."""

    def __init__(self, at: int) -> None:
        super().__init__(f"lists or objects nest more than {DEEPEST:,} deep")
        self.at = at


def element_end(data: bytes, at: int, *, whole: bool) -> int | None:
    """Where the value that begins at `at` ends; None when that is not held; TooDeep where it nests so.

    `whole`: nothing comes after `data`.
    """
    begin = data[at : at + 1]
    if begin in (b"{", b"["):
        depth = 0
        for token in _TOKEN.finditer(data, at):
            kind = data[token.start()]
            if kind == 0x22:
                if token.end(1) < 0:
                    return None
            else:
                depth += 1 if kind in b"{[" else -1
                if not depth:
                    return token.end()
                if depth > DEEPEST:
                    raise TooDeep(token.start())
        return None
    if begin == b'"':
        text = STRING.match(data, at)
        return text.end() if text and text.end(1) >= 0 else None
    scalar = _SCALAR.match(data, at)
    if scalar is None:
        return at if begin or whole else None
    return scalar.end() if scalar.end() < len(data) or whole else None


def member(data: bytes, key: str) -> int:
    """Where the value of a key begins within an object; 0 when it is not there."""
    at = blank(data, 1)
    while (found := STRING.match(data, at)) and found.end(1) >= 0:
        begin = blank(data, blank(data, found.end()) + 1)
        if found[0] == b'"%b"' % key.encode():
            return begin
        end = element_end(data, begin, whole=True)
        if not end or end == begin:
            break
        at = blank(data, blank(data, end) + 1)
    return 0


def last_member(data: bytes, key: str) -> int:
    """Where the value of a key begins that counts where the key is there twice; 0 when it is not there."""
    if data.count(b'"%b"' % key.encode()) == 1 and b"\\u" not in data:
        return member(data, key)
    return max((at for at, name in members(data) if name == key), default=0)


def members(data: bytes) -> Iterator[tuple[int, str]]:
    """Where the value of each member of an object begins, and its key."""
    at = blank(data, 1)
    while (found := STRING.match(data, at)) and found.end(1) >= 0:
        begin = blank(data, blank(data, found.end()) + 1)
        yield begin, msgspec.json.decode(found[0])
        end = element_end(data, begin, whole=True)
        if not end or end == begin:
            break
        at = blank(data, blank(data, end) + 1)


def blank(data: bytes, at: int) -> int:
    """The first position from `at` on that holds no blank."""
    found = _BLANK.match(data, at)
    return found.end() if found else at


def gap_at(data: bytes, at: int) -> bytes:
    """The comma at `at`, with the blanks around it; empty where there is none."""
    comma = blank(data, at)
    return data[at : blank(data, comma + 1)] if data[comma : comma + 1] == b"," else b""


def shown(found: bytes) -> str:
    """Bytes as a message shows them."""
    return repr(found.decode("latin-1"))
