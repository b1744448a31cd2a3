"""Logs put together again: all that a place has of one start, and the metrics of all starts in one file."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from visprep.errors import VisprepError
from visprep.manifest import File
from visprep.messages import Patience
from visprep.runs.log_names import METRICS, LogPiece, by_start
from visprep.runs.shipping import Target
from visprep.stores import Store
from visprep.stores.arrivals import disk_errors, part_name
from visprep.stores.local import LocalStore
from visprep.wire import run

#: Pieces that are read at once, and bytes of a file that are read at once.
_AT_ONCE, _BLOCK = 16, 1024 * 1024


def read_pieces(store: Store, pieces: Iterable[LogPiece], patience: Patience | None = None) -> Iterator[bytes]:
    """The bytes of some pieces, one after the other; several are asked for at the same time."""
    rest = iter(pieces)
    while some := list(itertools.islice(rest, _AT_ONCE)):
        jobs = ((at, store.read(piece.file.path)) for at, piece in enumerate(some))
        read: dict[int, bytes] = {}
        for at, outcome in run(jobs, _AT_ONCE, None, patience):
            if isinstance(outcome, VisprepError):
                raise outcome
            read[at] = outcome
        yield from (read[at] for at in range(len(some)))


def link(directory: Path, name: str, also: str, *, copy: bool) -> bool:
    """Let a file have another name too; where the file system knows no such links, only with `copy`, as a copy.

    Whether it is there under that name now.
    """
    source, target = directory / name, directory / also
    with disk_errors(str(target)):
        if target.exists() and target.samefile(source):
            return True
        part = directory / part_name(also, File(also))
        part.unlink(missing_ok=True)
        try:
            part.hardlink_to(source)
        except OSError:
            if not copy:
                return False
            shutil.copyfile(source, part)
        part.replace(target)
        return True


def join(local: LocalStore, pieces: Iterable[LogPiece], name: str) -> None:
    """Make a file of some pieces that lie in a directory, there."""
    part = local.root / part_name(name, File(name))
    with disk_errors(name), part.open("wb") as file:
        file.writelines(read_pieces(local, pieces))
    with disk_errors(name):
        part.replace(local.root / name)


class JoinedMetrics:
    """`metrics.jsonl` of a directory: the whole lines that all starts of a training logged, in order.

    What was logged on other machines comes from the target. Half a line that a killed process left is left out, unless
    it is JSON.
    """

    def __init__(self, local: LocalStore, target: Target) -> None:
        self._local, self._target = local, target
        self._path = local.root / METRICS
        #: The start whose lines were added last, and how many bytes of its file were.
        self._last: tuple[str, int] | None = None

    def make(self, files: Iterable[File]) -> bool:
        """Make the file anew from all that there is, here (`files`) and at the target: False where there is none."""
        here = by_start(files, "metrics")
        there: dict[str, list[LogPiece]] = {}
        if not self._target.is_at(self._local.root):
            sizes = self._target.sizes()
            there = by_start((File(path, size) for path, size in sizes.items()), "metrics")
        starts = sorted({*here, *there})
        if not starts:
            return False
        part = self._local.root / part_name(METRICS, File(METRICS))
        with disk_errors(METRICS), part.open("wb") as file:
            for start in starts:
                length = _add_lines(file, self._lines(here.get(start), there.get(start, [])))
        with disk_errors(METRICS):
            part.replace(self._path)
        self._last = starts[-1], length
        return True

    def _lines(self, here: list[LogPiece] | None, there: list[LogPiece]) -> Iterator[bytes]:
        if here and here[0].number is None:
            return _blocks(self._local.root / here[0].file.path)
        if here:
            return read_pieces(self._local, here)
        return read_pieces(self._target.store, there, self._target.patience)

    def extend(self, files: Iterable[File]) -> None:
        """Add what is new, where only one start goes on."""
        starts = by_start(files, "metrics")
        newest = next(reversed(starts), None)
        if newest is None:
            return
        log = starts[newest][0]
        if self._last is None or self._last[0] != newest or log.number is not None or not self._path.is_file():
            self.make(piece.file for pieces in starts.values() for piece in pieces)
            return
        done = self._last[1]
        with disk_errors(METRICS), self._path.open("ab") as file:
            done += _add_lines(file, _blocks(self._local.root / log.file.path, done), ended=False)
        self._last = newest, done


def _blocks(path: Path, offset: int = 0) -> Iterator[bytes]:
    with disk_errors(str(path)), path.open("rb") as file:
        file.seek(offset)
        while block := file.read(_BLOCK):
            yield block


def _add_lines(file: BinaryIO, blocks: Iterable[bytes], *, ended: bool = True) -> int:
    """Write the whole lines of some blocks; a last one without an end, if that is `ended`, where it is JSON.

    How many bytes of the blocks were used.
    """
    used, rest = 0, b""
    for block in blocks:
        rest += block
        end = rest.rfind(b"\n") + 1
        file.write(rest[:end])
        used += end
        rest = rest[end:]
    if rest and ended:
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(rest)
            file.write(rest + b"\n")
            used += len(rest)
    return used
