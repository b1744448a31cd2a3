"""Notes of the files that a command finished at a place on S3, where nothing can be appended to an object.

They are pieces, an object each: `.visprep/cache/notes-000001.jsonl` and so on, with a line for every file, and its
ETag: the file is still the one that was noted as long as a listing tells that ETag. They count only while the marker
is there, and are removed before it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from visprep import wire
from visprep.errors import FileMissing, PlaceMissing, VisprepError
from visprep.manifest import RECORD_DIR, File, entry_line

if TYPE_CHECKING:
    from visprep.stores import Store
    from visprep.stores.s3 import S3Store

_FOLDER = f"{RECORD_DIR}/cache"
_BEGINS, _ENDS, _ARCHIVE = "notes-", ".jsonl", ".zip"
_CRC32 = "crc32:"
#: Notes in a piece at the most, and seconds after which fewer make one: what is lost of them by a kill is compared
#: again.
_MOST, _SECONDS = 1_000, 5.0


class Pieces:
    """The notes of one command at a place on S3; what is noted is written now and then, and by `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = itertools.count(1)
        self._unwritten: list[bytes] = []
        self._since = 0.0
        self._used = False

    def read(self) -> Iterator[File]:
        """The files that were noted before, those noted last at the end; what is torn or missing is passed over."""
        names = [name for name in self._left() if _number(name)]
        names.sort(key=_number)
        self._used = True
        self._next = itertools.count(max(map(_number, names), default=0) + 1)
        jobs = ((name, self._store.read(f"{_FOLDER}/{name}")) for name in names)
        found = {name: body for name, body in wire.run(jobs) if not isinstance(body, FileMissing)}
        for name in names:
            body = found.get(name, b"")
            if isinstance(body, VisprepError):
                raise body
            for line in body.splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    entry: Any = json.loads(line)
                    crc32 = f"{_CRC32}{entry['crc32']}" if "crc32" in entry else None
                    told = entry.get("etag"), crc32, entry.get("made_from")
                    yield File(entry["path"], entry["size"], entry["digest"], None, *told)

    def _left(self) -> list[str]:
        """The names of the pieces that are there, and of archives that were brought there to be unpacked."""
        from visprep.stores.s3 import S3Store  # here, since places on disk need no wire for it

        folder = S3Store(f"{self._store.place}/{_FOLDER}", cast("S3Store", self._store).settings)
        with contextlib.suppress(PlaceMissing):
            listed = [file.path for file in folder.list(digests=False)]
            return [name for name in listed if _number(name) or ("/" not in name and name.endswith(_ARCHIVE))]
        return []

    def add(self, file: File) -> None:
        """Note a file."""
        self._since = self._since if self._unwritten else time.monotonic()
        line = entry_line(file, etag=True)
        if file.md5 and file.md5.startswith(_CRC32):  # of what came out of an archive, which knows no other digest
            line = line.removesuffix(b"}\n") + f', "crc32": "{file.md5.removeprefix(_CRC32)}"}}\n'.encode()
        self._unwritten.append(line)
        if len(self._unwritten) >= _MOST or time.monotonic() - self._since > _SECONDS:
            self.store()

    def store(self) -> None:
        """Write down what was noted and is not written yet: it outlives a kill from then on."""
        if self._unwritten:
            self._used = True
            path = f"{_FOLDER}/{_BEGINS}{next(self._next):06d}{_ENDS}"
            wire.wait(self._store.write(path, b"".join(self._unwritten)))
            self._unwritten.clear()

    def remove(self) -> None:
        """Remove all pieces and archives, also those of commands that nobody went on with."""
        self._unwritten.clear()
        if self._used:
            deletes = ((name, self._store.delete(f"{_FOLDER}/{name}")) for name in self._left())
            for _, outcome in wire.run(deletes):
                if isinstance(outcome, VisprepError):
                    raise outcome


def _number(name: str) -> int:
    """The number of the piece of this name, 0 when it is none."""
    number = name.removeprefix(_BEGINS).removesuffix(_ENDS)
    whole = name == f"{_BEGINS}{number}{_ENDS}" and number.isascii() and number.isdecimal()
    return int(number) if whole else 0
