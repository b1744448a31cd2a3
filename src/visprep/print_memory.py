"""What is remembered of the fingerprints of a place, so that images that did not change are not decoded again.

`.visprep/cache/verified-images.jsonl` (`verified-images-{digest}.jsonl` for another place, which the digest is of) has
a line for each image: path, size, ETag (on disk: times and inode) and the fingerprint. Lines are added while the work
goes on, so that what was learned before a kill is known after it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from visprep.descriptors import BINARY
from visprep.digests import digest_of
from visprep.fingerprints import ROW, VERSION, Rows
from visprep.known_files import young
from visprep.manifest import RECORD_DIR, File, bare_etag
from visprep.own_record import CACHE, REMEMBERED
from visprep.stores import Store
from visprep.stores.local import LocalStore

_HEADER = json.dumps({"format_version": 1, "fingerprints": VERSION}).encode() + b"\n"
#: Lines that are written at once: what a kill may lose.
_LINES = 64


def _is_ours(root: Path) -> bool:
    """Whether a directory has a record, or nothing at all."""
    try:
        return (root / RECORD_DIR).is_dir() or not any(root.iterdir())
    except FileNotFoundError:
        return True
    except OSError:
        return False


class PrintMemory:
    """The memory of one place, a context. It lies in the cache of `store` if that has a `.visprep`, else of `holder`.

    Looking at the data of others must not make directories in it, so without a `holder` that is on disk such a place
    is not remembered, nor one that cannot be written to. A holder with files and no `.visprep` belongs to others too.
    Nothing here raises for the sake of the memory.
    """

    def __init__(self, store: Store, holder: Store | None) -> None:
        self._on_disk = isinstance(store, LocalStore)
        self._since = time.time()
        self._path: Path | None = None
        home = store if isinstance(store, LocalStore) and (store.root / RECORD_DIR).is_dir() else holder
        if isinstance(home, LocalStore) and _is_ours(home.root):
            name = "" if home is store else f"-{digest_of(store.place.encode()).partition(':')[2][:16]}"
            self._path = home.root / CACHE / f"{REMEMBERED}-images{name}.jsonl"
        self._lines: list[bytes] = []
        self._number: int | None = None
        #: Lines, and paths, that were read
        self._read = self._paths = 0

    def recall(self, wanted: Mapping[str, int]) -> Iterator[tuple[int, int, str, Rows]]:
        """What is remembered of paths, as number, size, bare ETag and fingerprint; of a path the last comes last."""
        self._read = self._paths = 0
        seen = set()
        with contextlib.suppress(OSError):
            for line in self._kept():
                with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):  # torn by a kill
                    entry = json.loads(line)
                    self._read += 1
                    path = entry["path"]
                    number = wanted.get(path)
                    if number is None:
                        self._paths += 1
                        continue
                    seen.add(number)
                    row = np.frombuffer(base64.b64decode(entry["print"]), ROW)
                    if len(row) == 1:
                        yield number, int(entry["size"]), str(entry["etag"]), row
        self._paths += len(seen)

    def _kept(self) -> Iterator[bytes]:
        if self._path is not None:
            with self._path.open("rb") as lines:
                if lines.readline() == _HEADER:
                    yield from lines

    def learn(self, file: File, row: Rows) -> None:
        """Remember a file that has an ETag; on disk only when it was old enough at our start."""
        if self._path and file.etag and not (self._on_disk and young(file.etag, self._since)):
            entry = {
                "path": file.path,
                "size": file.size,
                "etag": bare_etag(file.etag),
                "print": base64.b64encode(row.tobytes()).decode(),
            }
            self._lines.append(json.dumps(entry).encode() + b"\n")
            if len(self._lines) >= _LINES:
                self._write()

    def _write(self) -> None:
        """Add what was learned, in one piece: commands that do so at the same time do not tear each other's lines."""
        if self._path is None or not self._lines:
            return
        try:
            if self._number is None:
                self._number = self._open(self._path)
            os.write(self._number, b"".join(self._lines))
        except OSError:
            self._path = None
        self._lines.clear()

    def _open(self, path: Path) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | BINARY, 0o666)
        with open(number, "rb", closefd=False) as file:
            known = file.readline() == _HEADER
            size = file.seek(0, os.SEEK_END)
            torn = size > 0 and (file.seek(size - 1), file.read(1))[1] != b"\n"
        if not known:  # new, or of other fingerprints
            os.ftruncate(number, 0)
            os.write(number, _HEADER)
        elif torn:
            os.write(number, b"\n")
        return number

    def __enter__(self) -> PrintMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()
        if self._number is not None:
            os.close(self._number)
            self._number = None
        if self._path and self._read > 2 * self._paths + _LINES:
            with contextlib.suppress(OSError):
                self._tidy(self._path)

    def _tidy(self, path: Path) -> None:
        """Leave of each path the last line only."""
        last: dict[str, int] = {}
        for number, line in enumerate(self._kept()):
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                last[json.loads(line)["path"]] = number
        keep = set(last.values())
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix="new-")
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(_HEADER)
                out.writelines(line for number, line in enumerate(self._kept()) if number in keep)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
