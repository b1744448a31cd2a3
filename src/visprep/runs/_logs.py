"""`runs logs`: what a training logged, or measured, once or as it comes."""

from __future__ import annotations

import codecs
import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from visprep.engines.local import check_count
from visprep.errors import FileMissing, NetworkError
from visprep.runs.layout import RunLayout
from visprep.runs.reading_logs import LogReader
from visprep.runs.run_address import RunsPlace, files_below, find, only
from visprep.settings import S3Settings
from visprep.wire import wait

log = logging.getLogger("visprep.runs")

#: Seconds between two looks at a log that is followed.
EVERY = 5.0
#: How the logs of other tools end.
_ENDINGS = {False: (".log", ".txt"), True: (".jsonl",)}


class _Reader(Protocol):
    def new(self) -> Iterator[bytes]: ...


def logs(
    place: str | os.PathLike[str],
    *,
    experiment: str | None = None,
    follow: bool = False,
    lines: int | None = None,
    metrics: bool = False,
    every: float = EVERY,
    layout: RunLayout | None = None,
    s3: S3Settings | None = None,
) -> Iterator[str]:
    """The lines of the log of a run, without their ends, from all times that it was started; the last `lines` of them.

    `place` may also be a file of them, such as `logs/{experiment}/training_latest.log`: its run is meant, and of a
    `.jsonl` what was measured. With `metrics` what was measured, a JSON object a line. With `follow` it does not end:
    every `every` seconds is looked for more, and a network that fails meanwhile is only logged. Of a run of another
    tool the files below its logs that end in `.log` or `.txt` are taken. UsageError, UnknownName and PlaceMissing as of
    `show`; FileMissing when nothing was logged and nothing is waited for.
    """
    check_count("lines", lines, least=0)
    layout = layout or RunLayout()
    head, _, file = os.fspath(place).rpartition("/")
    if file.endswith(sum(_ENDINGS.values(), ())) and head.rpartition("/")[0].endswith(layout.logs_prefix):
        place, metrics = head, metrics or file.endswith(_ENDINGS[True])
    address = find(place, layout, experiment, s3)
    name = only(address, layout)
    path = layout.logs(name)
    reader: _Reader = LogReader(address.store, path, "metrics" if metrics else "training")
    text = _Text()
    begun = text.lines(reader.new())
    if not begun and (files := files_below(address.store, path)) and not text.seen:
        reader = _OfOthers(address.store, path, _ENDINGS[metrics])
        begun = text.lines(reader.new()) if files else []
    if not text.seen and not follow:
        what = "measured" if metrics else "logged"
        raise FileMissing(f"{address.store.place}/{path}: nothing was {what} yet", hint="wait for it with --follow")
    return _told(begun if lines is None else deque(begun, lines), text, reader, every if follow else None)


def _told(begun: Iterable[str], text: _Text, reader: _Reader, every: float | None) -> Iterator[str]:
    yield from begun
    while every is not None:
        time.sleep(every)
        try:
            yield from text.lines(reader.new())
        except NetworkError as problem:
            log.warning("%s [%s]; it is tried again", problem.message, problem.slug)
    yield from text.rest()


class _Text:
    """Lines of what comes in pieces, cut anywhere."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._open = ""
        self.seen = False

    def lines(self, pieces: Iterable[bytes]) -> list[str]:
        """The lines that end in these pieces."""
        found: list[str] = []
        for piece in pieces:
            self.seen = self.seen or bool(piece)
            *whole, self._open = (self._open + self._decoder.decode(piece)).split("\n")
            found += whole
        return found

    def rest(self) -> list[str]:
        """The last line, when it has no end."""
        left, self._open = self._open, ""
        return [left] if left else []


class _OfOthers:
    """The logs of another tool: files that grow, in the order in which they were written to last."""

    def __init__(self, store: RunsPlace, path: str, endings: tuple[str, ...]) -> None:
        self._store, self._path, self._endings = store, path, endings
        self._read: dict[str, int] = {}

    def new(self) -> Iterator[bytes]:
        """What came since the last call."""
        files = [one for one in files_below(self._store, self._path) if one.path.endswith(self._endings)]
        for file in sorted(files, key=lambda one: (one.mtime or 0.0, one.path)):
            begin, size = self._read.get(file.path, 0), file.size or 0
            if size < begin:
                begin = 0
            if size > begin:
                data = wait(self._store.read(f"{self._path}/{file.path}", begin))
                self._read[file.path] = begin + len(data)
                yield data
