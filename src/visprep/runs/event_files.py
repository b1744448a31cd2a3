"""TensorBoard's event files: what was written since goes up as files of its own, cut between records.

A record is the length of its data (8 bytes), a CRC of that (4), the data, a CRC of the data (4). The first record of a
file tells the version of the format; every piece begins with it, so that each is an event file like any other.
"""

from __future__ import annotations

import re
import struct
import threading
from pathlib import Path

from visprep.errors import DiskError, FileMissing, PlaceMissing, UnsafePath, WouldOverwrite
from visprep.manifest import File
from visprep.messages import Patience
from visprep.runs.shipping import PIECE, Growing, Target
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.wire import wait

_HEADER = struct.Struct("<QI")
_FOOTER = 4
#: What the first record of an event file says.
_VERSION = b"brain.Event:"
#: A later piece of an event file.
_PIECE_NAME = re.compile(r"(?P<name>.*tfevents[^/]*)\.(?P<number>\d{6,})", re.DOTALL)
#: Failures that concern one file, and not the place or the way to it.
_OF_ONE_FILE = (DiskError, FileMissing, UnsafePath, WouldOverwrite)


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def masked_crc(data: bytes) -> int:
    """The CRC-32C of some bytes as these files have it: rotated, and a constant added."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def whole_records(data: bytes, whole: bool = False) -> int:
    """See `shipping.Cut`: half a record is never sent, since TensorBoard reads nothing behind it."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, crc = _HEADER.unpack_from(data, at)
        if crc != masked_crc(data[at : at + 8]):
            return at or -1
        end = at + _HEADER.size + length + _FOOTER
        if end > len(data):
            break
        at = end
    return at


def version_record(data: bytes) -> int:
    """How long the first record is, if it is the one that tells the version."""
    end = whole_records(data[: _HEADER.size + 256])
    first = _HEADER.size + _HEADER.unpack_from(data)[0] + _FOOTER if end > 0 else 0
    return first if _VERSION in data[:first] else 0


class EventShipper:
    """Sends what a `SummaryWriter` writes below a directory to `path` of a place, each byte once.

    The first piece of an event file has its name, later ones `{name}.{n:06d}`; TensorBoard reads them in order. Other
    files there (those of the projector, of the profiler) go whole, when they have not changed between two calls.
    """

    def __init__(
        self, local_dir: Path, store: Store, path: str, *, patience: Patience | None = None, piece: int = PIECE
    ) -> None:
        self._local, self._piece = LocalStore(local_dir), piece
        self._target = Target(store, path, patience)
        self._lock = threading.Lock()
        self._there: dict[str, int] | None = None
        self._growing: dict[str, Growing] = {}
        #: Of other files: their size and time when they were last seen, and when they were sent.
        self._seen: dict[str, tuple[int | None, float | None]] = {}
        self._sent: dict[str, tuple[int | None, float | None]] = {}

    def ship(self, *, whole: bool = False) -> int:
        """Send all whole records that are not there yet: the bytes that were sent, 0 where the place is here.

        What a killed process left unsent goes too. `whole`: nobody writes any more, so other files go as they are.
        Raises StoreError, NetworkError or CredentialsError, WouldOverwrite for a file whose name is taken there by
        another; all others were sent then. Calling it again goes on where it ended.
        """
        with self._lock:
            if self._target.is_at(self._local.root):
                return 0
            sent, failed = 0, None
            files = self._files()
            if files and self._there is None:
                self._there = self._target.sizes()
            for path, file in files.items():
                try:
                    sent += self._ship(file, self._is_cut(path, files), whole)
                except _OF_ONE_FILE as error:
                    failed = failed or error
            if failed:
                raise failed
            return sent

    def _files(self) -> dict[str, File]:
        try:
            return {file.path: file for file in self._local.list() if not file.path.endswith("/")}
        except PlaceMissing:
            return {}

    def _is_cut(self, path: str, files: dict[str, File]) -> bool:
        """Whether a file is a piece, or the first piece, of an event file that was cut before it came here."""
        piece = _PIECE_NAME.fullmatch(path)
        return f"{path}.{1:06d}" in files or bool(piece and piece["name"] in files)

    def _ship(self, file: File, is_cut: bool, whole: bool) -> int:
        if "tfevents" not in file.path.rpartition("/")[2]:
            return self._ship_other(file, whole)
        return self._ship_cut(file) if is_cut else self._ship_events(file, whole)

    def _ship_events(self, file: File, whole: bool) -> int:
        growing = self._growing.get(file.path)
        if growing is None:
            growing = Growing(
                self._local.root / file.path,
                self._target,
                lambda number: f"{file.path}.{number:06d}" if number else file.path,
                whole_records,
                repeated=version_record,
                piece=self._piece,
            )
            growing.look(self._numbered(file.path))
            self._growing[file.path] = growing
        if growing.covered == file.size and not growing.damaged:
            return 0
        return growing.ship(whole)

    def _numbered(self, path: str) -> dict[int, int]:
        """The sizes of the pieces of an event file that were there at first, by their numbers."""
        there = self._there or {}
        found = {0: there[path]} if path in there else {}
        for name, size in there.items():
            piece = _PIECE_NAME.fullmatch(name) if name.startswith(path) else None
            if piece and piece["name"] == path:
                found[int(piece["number"])] = size
        return found

    def _ship_cut(self, file: File) -> int:
        """Send a piece as it is, unless it is there."""
        there = (self._there or {}).get(file.path)
        if there == file.size or file.path in self._sent:
            return 0
        data = wait(self._local.read(file.path))
        if not self._target.put_new(file.path, data):
            raise WouldOverwrite.of(self._target.store.place, [file.path], "what is there has another content")
        self._sent[file.path] = file.size, file.mtime
        return len(data)

    def _ship_other(self, file: File, whole: bool) -> int:
        """Send a file that is no event file: once when it rests, and once more at the end if it changed."""
        now = file.size, file.mtime
        rests = self._seen.get(file.path) == now
        self._seen[file.path] = now
        before = self._sent.get(file.path)
        if before == now or not (whole or (rests and before is None)):
            return 0
        sent = 0
        same_size = (self._there or {}).get(file.path) == file.size
        if (
            before
            or not same_size
            or not self._target.has(file.path, wait(self._local.hash(file.path, "sha256")) or "")
        ):
            sent = self._target.send(file.path, self._local.root)
        self._sent[file.path] = now
        return sent
