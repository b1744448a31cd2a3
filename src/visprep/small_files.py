"""Small files in great number between a directory and S3: on the express lane, or the ordinary way where it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from visprep import wire
from visprep.digests import algorithm_of, digest_of, is_digest_of
from visprep.errors import VisprepError, WrongContent
from visprep.express import Answer, Ask, express
from visprep.manifest import File
from visprep.messages import SMALL, header
from visprep.stores import Store
from visprep.stores.arrivals import Small, as_told
from visprep.stores.local import LocalStore
from visprep.window import Window

if TYPE_CHECKING:
    from visprep.stores.s3 import S3Store

T = TypeVar("T")

#: Files that a thread reads in one go, and their bytes, about.
_BATCH, _BATCH_BYTES = 32, 1024 * 1024
#: Files that are put aside before it is their turn, and those among them that did not get through: where everything
#: fails, few requests are sent before the ordinary way finds words for it.
_ASIDE, _REFUSED = 64, 4
#: So many that did not get through in all, and the rest goes the ordinary way too.
_TROUBLE = 256


def moved(
    files: Iterable[File | None],
    origin: Store,
    target: Store,
    window: Window,
    on_bytes: Callable[[int], None] | None = None,
) -> Generator[tuple[File, File | VisprepError], None, None]:
    """Each of `files` with what became of it at `target`: the finished file, or the error.

    Where `files` gives None there is nothing to begin now, and it is asked again while others are under way.
    """
    files = iter(files)
    road = _road(origin, target)
    if road and not window.bandwidth and not logging.getLogger("visprep.wire").isEnabledFor(logging.INFO):
        trouble = 0
        while trouble < _TROUBLE:
            aside = _Aside()
            for file, done in road(files, aside, window):
                yield file, done
                if on_bytes:
                    on_bytes(done.size or 0)
            if not aside.files:
                return
            trouble += aside.refused
            yield from _ordinary(aside.files, origin, target, window, on_bytes)
    yield from _ordinary(files, origin, target, window, on_bytes)


def _ordinary(
    files: Iterable[File | None],
    origin: Store,
    target: Store,
    window: Window,
    on_bytes: Callable[[int], None] | None,
) -> Generator[tuple[File, File | VisprepError], None, None]:
    jobs = ((file, received(file, origin, target)) if file else None for file in files)
    return wire.run(jobs, window, on_bytes, weigh=lambda file: file.size or 0)


async def received(file: File, origin: Store, target: Store) -> File:
    """See `Store.receive`; an MD5 that was only an ETag of an encrypted object is not held against what arrives."""
    try:
        return await target.receive(file, origin)
    except WrongContent:
        if algorithm_of(file.digest or "") != "md5":
            raise
        now = await origin.stat(file.path)
        if now.etag != file.etag or now.digest == file.digest:
            raise
        return await target.receive(replace(file, digest=now.digest), origin)


class _Aside:
    """What is left for the ordinary way: `refused` of the files had their chance."""

    def __init__(self) -> None:
        self.files: list[File] = []
        self.refused = 0

    @property
    def full(self) -> bool:
        """Whether it is their turn."""
        return self.refused >= _REFUSED or len(self.files) >= _ASIDE

    def refuse(self, file: File) -> None:
        """One more that did not get through."""
        self.files.append(file)
        self.refused += 1


_Road = Callable[[Iterator[File | None], _Aside, Window], Iterator[tuple[File, File]]]


def _road(origin: Store, target: Store) -> _Road | None:
    """How small files get from here to there on the express lane, if they do; what does not is put aside."""
    if isinstance(origin, LocalStore) == isinstance(target, LocalStore):
        return None
    there = target if isinstance(origin, LocalStore) else origin
    if not there.place.startswith("s3://"):
        return None
    from visprep.stores.s3 import S3Store

    if not isinstance(there, S3Store):
        return None
    if not isinstance(origin, LocalStore):
        return partial(_down, there, cast(LocalStore, target))
    return partial(_up, origin, there) if there.settings.part_size > SMALL else None


def _down(
    origin: S3Store, target: LocalStore, files: Iterator[File | None], aside: _Aside, window: Window
) -> Iterator[tuple[File, File]]:
    asks = _asked(
        ((file, file) if file else None for file in _small(files, aside)), aside, lambda file, _: origin.ask_for(file)
    )

    def keep(answers: list[tuple[File, Answer]]) -> list[tuple[File, File | None]]:
        return [(file, _kept(file, answer, origin, target)) for file, answer in answers]

    with ThreadPoolExecutor(1, "visprep-files") as thread:
        keeping: Future[list[tuple[File, File | None]]] | None = None
        for answers in express(asks, window):
            came = []
            for file, answer in answers:
                if answer is None:
                    aside.refuse(file)
                else:
                    came.append((file, answer))
            # They are written while the next are under way
            before, keeping = keeping, thread.submit(keep, came)
            if before:
                yield from _done(before.result(), aside)
        if keeping:
            yield from _done(keeping.result(), aside)


def _kept(file: File, answer: Answer, origin: S3Store, target: LocalStore) -> File | None:
    """A file that arrived, when it is what it should be and was written; it runs beside the connections."""
    try:
        told = origin.told(file, answer.head)
        done = as_told(Small(file, answer.pieces).checked(), file, told)
        target.keep(file, answer.pieces)
    except VisprepError:
        return None
    return done


def _done(outcomes: list[tuple[File, File | None]], aside: _Aside) -> Iterator[tuple[File, File]]:
    for file, done in outcomes:
        if done is None:
            aside.refuse(file)
        else:
            yield file, done


def _up(
    origin: LocalStore, target: S3Store, files: Iterator[File | None], aside: _Aside, window: Window
) -> Iterator[tuple[File, File]]:
    digests: dict[str, str] = {}

    def ask(file: File, read: tuple[bytes, str]) -> Ask:
        data, digests[file.path] = read
        return target.ask_to_take(file.path, data, digests[file.path])

    with ThreadPoolExecutor(1, "visprep-files") as thread:
        reads = _ahead(_small(files, aside), lambda file: _read(file, origin), thread)
        for answers in express(_asked(reads, aside, ask), window):
            for file, answer in answers:
                digest = digests.pop(file.path)
                if answer is None:
                    aside.refuse(file)
                else:
                    yield file, File(file.path, file.size, digest, etag=header(answer.head, "etag"))


def _read(file: File, origin: LocalStore) -> tuple[bytes, str] | None:
    """The bytes of a file and their digest, when it is what it should be; it runs beside the connections."""
    try:
        data = origin.read_small(file)
    except VisprepError:
        return None
    digest = digest_of(data)
    as_wanted = file.digest in (None, digest) or is_digest_of(file.digest, data)
    return (data, digest) if len(data) == file.size and as_wanted else None


def _small(files: Iterator[File | None], aside: _Aside) -> Iterator[File | None]:
    """The small ones, until enough were put aside."""
    while not aside.full:
        try:
            file = next(files)
        except StopIteration:
            return
        if file and (file.size is None or file.size > SMALL):
            aside.files.append(file)
        else:
            yield file


def _ahead(
    files: Iterator[File | None], work: Callable[[File], T], thread: Executor
) -> Iterator[tuple[File, T] | None]:
    """Each file with what `work` makes of it in the thread, some files ahead."""
    due: Future[list[tuple[File, T]]] | None = None
    for some in _together(files):
        before, due = due, thread.submit(lambda some: [(file, work(file)) for file in some], some) if some else None
        if before:
            yield from before.result()
        if not some:
            yield None
    if due:
        yield from due.result()


def _together(files: Iterator[File | None]) -> Iterator[list[File]]:
    """Files in lists that are worth handing over; an empty one where there is nothing to begin now."""
    some: list[File] = []
    size = 0
    for file in files:
        if some and (file is None or len(some) == _BATCH or size > _BATCH_BYTES):
            yield some
            some, size = [], 0
        if file is None:
            yield []
        else:
            some.append(file)
            size += file.size or 0
    if some:
        yield some


def _asked(
    files: Iterator[tuple[File, T | None] | None], aside: _Aside, ask: Callable[[File, T], Ask]
) -> Iterator[tuple[File, Ask] | None]:
    """What to ask for each file with what was made ready for that; those with nothing are refused."""
    for item in files:
        if item is None:
            yield None
            continue
        file, ready = item
        try:
            asked = None if ready is None or aside.full else ask(file, ready)
        except VisprepError:
            asked = ready = None
        if asked:
            yield file, asked
        elif ready is None:
            aside.refuse(file)
        else:
            aside.files.append(file)
