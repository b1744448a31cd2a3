"""Logs and metrics on their way to a place: new whole lines go up as pieces, and at the end all of them in one file."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from visprep.errors import DiskError, FileMissing, PlaceMissing, UnsafePath, WouldOverwrite
from visprep.manifest import File
from visprep.messages import Patience
from visprep.runs.joined_logs import JoinedMetrics, join, link
from visprep.runs.log_names import LATEST, METRICS, Kind, LogPiece, by_start, in_order, parse, piece_name
from visprep.runs.shipping import PIECE, Growing, Target
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.wire import wait

#: Bytes of last lines in `training_latest.log` and `metrics.jsonl` while a training runs: about a hundred lines.
TAIL = 8192
#: At most so many times what is new is shown of the last lines, or a line now and then would cost a hundred each time.
_SHARE = 8
#: Failures that concern one file, and not the place or the way to it.
_OF_ONE_FILE = (DiskError, FileMissing, UnsafePath, WouldOverwrite)


def whole_lines(data: bytes, whole: bool = False) -> int:
    """See `shipping.Cut`: half a line waits for the rest of it, unless that will not come."""
    return len(data) if whole else data.rfind(b"\n") + 1


class LogShipper:
    """Sends `training_{start}.log` and `metrics_{start}.jsonl` of a directory to `path` of a place, each byte once.

    They go as pieces `training_{start}_{n:06d}.log`, and these are what counts. For people there are
    `training_latest.log` (of the newest start) and `metrics.jsonl` (of all starts). At the end they are whole; while
    the training runs they have its last lines: `tail` bytes at most, and eight times what is new, so that the bytes
    that are sent stay linear in what was logged. Where the place is this very directory, only these two are made.
    """

    def __init__(
        self,
        local_dir: Path,
        store: Store,
        path: str,
        *,
        patience: Patience | None = None,
        tail: int = TAIL,
        piece: int = PIECE,
    ) -> None:
        self._local, self._tail, self._piece = LocalStore(local_dir), tail, piece
        self._target = Target(store, path, patience)
        self._lock = threading.Lock()
        self._there: dict[str, File] | None = None
        self._growing: dict[str, Growing] = {}
        self._sent: set[str] = set()
        self._joined = JoinedMetrics(self._local, self._target)

    def ship(self, *, whole: bool = False) -> int:
        """Send all whole lines that are not there yet: the bytes that were sent.

        `whole`: nobody writes any more, so a last line without an end goes too, and then `training_latest.log` and
        `metrics.jsonl` whole. Raises StoreError, NetworkError or CredentialsError, WouldOverwrite for a log whose
        pieces there are not of it; all others were sent then. Calling it again goes on where it ended.
        """
        with self._lock:
            files = self._files()
            if self._target.is_at(self._local.root):
                self._keep_here(files, whole)
                return 0
            if files and self._there is None:
                self._there = {path: File(path, size) for path, size in self._target.sizes().items()}
            sent, failed = 0, None
            # Pieces first: the rest is made of them, and a scheduler may leave no time for it
            news: dict[Kind, int] = {"training": 0, "metrics": 0}
            for piece in (piece for kind in news for piece in in_order(files, kind)):
                try:
                    news[piece.kind] += self._ship(piece, whole)
                except _OF_ONE_FILE as error:
                    failed = failed or error
            for kind, new in news.items():
                sent += new + self._show(kind, files, whole, new)
            if failed:
                raise failed
            return sent

    def _files(self) -> list[File]:
        try:
            return [file for file in self._local.list() if parse(file)]
        except PlaceMissing:
            return []

    def _ship(self, piece: LogPiece, whole: bool) -> int:
        if piece.number is not None:
            return self._ship_cut(piece.file)
        path = piece.file.path
        growing = self._growing.get(path)
        if growing is None:
            growing = Growing(
                self._local.root / path,
                self._target,
                lambda number: piece_name(piece.kind, piece.start, number),
                whole_lines,
                piece=self._piece,
            )
            there = by_start(self._there.values(), piece.kind).get(piece.start, ()) if self._there else ()
            growing.look({one.number: one.file.size or 0 for one in there if one.number is not None})
            self._growing[path] = growing
        if growing.covered == piece.file.size and not growing.damaged:
            return 0
        return growing.ship(whole)

    def _ship_cut(self, file: File) -> int:
        """Send a piece that was cut before it came here, unless it is there."""
        there = (self._there or {}).get(file.path)
        if (there and there.size == file.size) or file.path in self._sent:
            return 0
        data = wait(self._local.read(file.path))
        if not self._target.put_new(file.path, data):
            raise WouldOverwrite.of(self._target.store.place, [file.path], "what is there has another content")
        self._sent.add(file.path)
        return len(data)

    def _show(self, kind: Kind, files: list[File], whole: bool, new: int) -> int:
        """Bring `training_latest.log` or `metrics.jsonl` up to date: the bytes that were sent."""
        starts = by_start(files, kind)
        if not starts:
            return 0
        name, newest = (LATEST if kind == "training" else METRICS), next(reversed(starts))
        others = by_start((self._there or {}).values(), kind)
        if kind == "training" and max(others, default="") > newest:
            return 0  # it was started later, on another machine
        if not whole:
            return self._show_tail(kind, name, starts[newest][0], new) if new else 0
        log = starts[newest][0]
        if kind == "metrics":
            self._joined.make(files)
        elif log.number is None:
            link(self._local.root, log.file.path, name, copy=True)
        else:
            join(self._local, starts[newest], name)
        return self._send_whole(name)

    def _show_tail(self, kind: Kind, name: str, log: LogPiece, new: int) -> int:
        growing = self._growing.get(log.file.path)
        if growing is None:
            return 0
        data = growing.end(min(self._tail, _SHARE * new))
        if len(data) < growing.covered:
            data = data[data.find(b"\n") + 1 :]
            if kind == "training":
                first = piece_name(kind, log.start, 0)
                data = f"[these are the last lines; all are in {first} and the pieces after it]\n".encode() + data
        self._target.put(name, data)
        return len(data)

    def _send_whole(self, name: str) -> int:
        with contextlib.suppress(FileMissing):
            there = wait(self._target.store.stat(name), self._target.patience)
            if there.size == wait(self._local.stat(name)).size:
                here = wait(self._local.hash(name, "sha256"))
                if here == (there.digest or wait(self._target.store.hash(name, "sha256"))):
                    return 0
        return self._target.send(name, self._local.root)

    def _keep_here(self, files: list[File], whole: bool) -> None:
        """Where the place is this directory: the log under its other name too, and the metrics of all starts."""
        logs = by_start(files, "training")
        newest = logs[next(reversed(logs))][0] if logs else None
        if newest and newest.number is None:
            link(self._local.root, newest.file.path, LATEST, copy=whole)
        if whole:
            self._joined.make(files)
        else:
            self._joined.extend(files)
