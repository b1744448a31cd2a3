"""From a tar.gz on a server straight to its members, in one pass; the archive itself is never on disk.

Ranges of it are on their way at once, and are inflated in order. Every now and then it can be written down how far
that came (`note`): where in the compressed stream to go on, where the next header is, and the state of the archive's
SHA-256. Another process that begins with that fetches and inflates nothing that came before.
"""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from visprep import wire
from visprep.errors import VisprepError
from visprep.hash_states import ResumableSha256
from visprep.manifest import File
from visprep.stores.deflate_points import Point
from visprep.stores.gzip_stream import GzipStream, Restart
from visprep.stores.ranges import Ranged
from visprep.stores.remote_zip import Buffer
from visprep.stores.tar_headers import Header, headers
from visprep.stores.zip_directory import Limits

_MEBIBYTE = 1024 * 1024
#: Bytes of a range at most and at least, and how many may be on their way or wait to be inflated.
_PIECE, _SMALLEST, _HELD = 4 * _MEBIBYTE, 64 * 1024, 16
#: Inflated bytes between two notes, at most and at least.
_SPACING, _CLOSEST = 64 * _MEBIBYTE, _MEBIBYTE
#: Ranges and notes of an archive that is not large, about.
_RANGES, _NOTES = 64, 32
#: Seconds until one that found no room for a range looks again, and that a thread is waited for at the end.
_NAP, _PARTING = 0.005, 2.0
#: States of the SHA-256 that are remembered: a place to go on at lies no further back than in the last ranges.
_STATES = 12

Told: TypeAlias = "queue.SimpleQueue[tuple[int, bytes | None, bytes] | BaseException | int | None]"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an archive came: `header` is where the next member begins, `seen` how many bytes of names passed.

    The SHA-256 has passed the first `hashed` bytes, where its `state` is known. `digest` is that of the whole archive,
    once all of it passed.
    """

    restart: Restart
    header: int
    seen: int
    hashed: int = 0
    state: bytes | None = None
    digest: str | None = None


class Notes:
    """What is written down of an archive, which `identity` tells from others, in files that begin with `path`.

    `names` are those that passed. What is about another archive, or cannot be read, counts as nothing.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._progress, self._names = path.with_name(f"{path.name}.json"), path.with_name(f"{path.name}.names")
        self._identity = identity
        self.progress: Progress | None = None
        self.names: set[str] = set()
        self._length = 0
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            self._load()

    def _load(self) -> None:
        told: dict[str, Any] = json.loads(self._progress.read_bytes())
        if told.pop("identity") != self._identity:
            return
        restart = told.pop("restart")
        point, state = restart.pop("point"), told.pop("state")
        found = Progress(
            Restart(**restart, point=Point(**_unpacked(point)) if point else None),
            state=None if state is None else base64.b64decode(state),
            **told,
        )
        names = self._names.read_bytes()[: found.seen]
        if len(names) == found.seen:
            self.progress, self._length, self.names = found, found.seen, set(names.decode().splitlines())

    def write(self, progress: Progress, names: list[str]) -> None:
        """Write down how far it came, with the names that passed since the last time."""
        self._names.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{name}\n" for name in names).encode()
        with self._names.open("r+b" if self._names.exists() else "w+b") as file:
            file.truncate(self._length)
            file.seek(self._length)
            file.write(lines)
        self._length += len(lines)
        self.names.update(names)
        self.progress = replace(progress, seen=self._length)
        told = asdict(self.progress)
        told["identity"] = self._identity
        told["state"] = None if progress.state is None else base64.b64encode(progress.state).decode()
        if point := told["restart"]["point"]:
            point |= {name: base64.b64encode(point[name]).decode() for name in ("lead", "window")}
        part = self._progress.with_name(f"{self._progress.name}.new")
        part.write_text(json.dumps(told))
        part.replace(self._progress)

    def forget(self) -> None:
        """Begin anew."""
        self._progress.unlink(missing_ok=True)
        self.progress, self._length, self.names = None, 0, set()


def _unpacked(point: dict[str, Any]) -> dict[str, Any]:
    return point | {name: base64.b64decode(point[name]) for name in ("lead", "window")}


class Untarring:
    """The members of an archive that `store` has, from where `notes` say on.

    After the last member `digest` is the SHA-256 of the whole archive; None where it was begun by another process, and
    the state of the hash could not be kept: then each gzip member has passed its CRC-32 all the same.
    """

    def __init__(
        self,
        store: Ranged,
        file: File,
        notes: Notes,
        *,
        on_bytes: Callable[[int], None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._file, self._notes, self._place = file, notes, file.path
        begun = notes.progress or Progress(Restart(), 0, 0)
        self._begun = begun
        self._pending: Restart | None = None
        self._names: list[str] = []
        self.digest: str | None = None
        self._hash_known = begun.state is not None or begun.restart.offset == 0
        assert file.size is not None
        limits = limits or Limits()
        self._most_empty = limits.most_empty(file.size)
        piece = min(_PIECE, max(_SMALLEST, file.size // _RANGES))
        spacing = min(_SPACING, max(_CLOSEST, file.size // _NOTES))
        hashing, start = ResumableSha256(), begun.restart.offset
        if begun.state is not None:
            hashing, start = ResumableSha256(begun.state), begun.hashed
        self._fetching = _Fetching(store, file, start, hashing, piece, on_bytes)
        self._states: deque[tuple[int, bytes | None]] = deque(maxlen=_STATES)
        self._stream = GzipStream(
            self._source,
            self._place,
            begun.restart,
            spacing=spacing,
            on_restart=self._found_restart,
            most=limits.most(file.size),
        )
        self._header = begun.header

    @property
    def due(self) -> bool:
        """Whether it is time for a note, if all that was given so far is where it shall be."""
        return self._pending is not None and self._header >= self._pending.position

    def members(self, wants: Callable[[str, int], bool]) -> Generator[tuple[str, Header, bytes | None], None, None]:
        """The last part of the name of each file, its header, and its content if `wants` says so of name and size."""
        with contextlib.closing(self._fetching):
            self._stream.skip(self._begun.header - self._stream.position)
            for header in headers(self._stream, self._place, self._most_empty):
                self._header = header.end
                member = header.member()
                if member is None or member.path.endswith("/"):
                    continue
                name = member.path.rpartition("/")[2]
                sound = not member.fault or member.fault.astray  # it is only its last part that is used of a name
                if sound and name.isascii() and "\n" not in name:
                    self._names.append(name)
                content = self._stream.read(header.length) if sound and wants(name, header.length) else None
                yield name, header, None if content is None or len(content) < header.length else content
            if self._hash_known:
                self.digest = f"sha256:{self._fetching.hexdigest()}"

    def note(self) -> None:
        """Write down how far it came."""
        restart = self._pending
        assert restart is not None
        self._pending = None
        hashed, state = next((one for one in reversed(self._states) if one[0] <= restart.offset), (0, None))
        known = self._hash_known and state is not None
        self._write(Progress(restart, self._header, 0, hashed if known else 0, state if known else None))

    def end(self) -> None:
        """Write down that all of it came, and was as it should be."""
        self._write(Progress(Restart(), 0, 0, digest=self.digest or ""))

    def _write(self, progress: Progress) -> None:
        self._notes.write(progress, self._names)
        self._names = []

    def _found_restart(self, restart: Restart) -> None:
        self._pending = restart

    def _source(self) -> bytes:
        found = self._fetching.next()
        while found is not None:
            offset, state, data = found
            self._states.append((offset, state))
            # The hash may have needed some that were inflated before
            first = max(0, self._begun.restart.offset - offset)
            if first < len(data):
                return data[first:]
            found = self._fetching.next()
        return b""


class _Fetching:
    """A thread that fetches the ranges of a file, from `start` on, and hashes them in order."""

    def __init__(
        self,
        store: Ranged,
        file: File,
        start: int,
        hashing: ResumableSha256,
        piece: int,
        on_bytes: Callable[[int], None] | None,
    ) -> None:
        assert file.size is not None
        self._store, self._file, self._at, self._end = store, file, start, file.size
        self._hashing, self._piece, self._on_bytes = hashing, piece, on_bytes
        self._next = start
        self._told: Told = queue.SimpleQueue()
        self._room = threading.Semaphore(_HELD)
        self._here: dict[int, bytes] = {}
        self._stopped = self._ended = False
        self._thread: threading.Thread | None = None

    def next(self) -> tuple[int, bytes | None, bytes] | None:
        """The offset of the next range, the state of the hash before it, and its bytes; None after the last."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="visprep-untar", daemon=True)
            self._thread.start()
        while not self._ended:
            told = self._told.get()
            if isinstance(told, BaseException):
                raise told
            if isinstance(told, int):
                if self._on_bytes:
                    self._on_bytes(told)
                continue
            if told is None:
                self._ended = True
                break
            self._room.release()
            return told
        return None

    def hexdigest(self) -> str:
        """The digest of all, after the last."""
        return self._hashing.hexdigest()

    def close(self) -> None:
        """End it, at once."""
        self._stopped = True
        if self._thread and self._thread.is_alive():  # an interrupt may have come while it was started
            self._thread.join(_PARTING)

    def _run(self) -> None:
        try:
            while self._at < self._end:
                with contextlib.closing(wire.run(self._jobs(), _HELD // 2, self._heard)) as outcomes:
                    for (offset, buffer), outcome in outcomes:
                        if isinstance(outcome, VisprepError):
                            raise outcome
                        self._here[offset] = bytes(buffer.view)
                        self._hand_on()
                time.sleep(_NAP)  # there was no room, and nothing was on its way
            self._told.put(None)
        except _Stopped:
            pass
        except BaseException as error:
            self._told.put(error)

    def _hand_on(self) -> None:
        while (data := self._here.pop(self._next, None)) is not None:
            state = self._hashing.state
            self._hashing.update(data)
            self._told.put((self._next, state, data))
            self._next += len(data)

    def _jobs(self) -> Iterator[tuple[tuple[int, Buffer], wire.Job[str | None]] | None]:
        while self._at < self._end:
            if self._stopped:
                raise _Stopped
            if not self._room.acquire(blocking=False):
                yield None
                continue
            length = min(self._piece, self._end - self._at)
            buffer = Buffer(length)
            job = self._store.fetch_range(self._file, self._at, length, buffer)
            key = self._at, buffer
            self._at += length
            yield key, job

    def _heard(self, count: int) -> None:
        if self._stopped:
            raise _Stopped
        self._told.put(count)


class _Stopped(Exception):
    """The command has ended, and a thread that still works shall end too."""
