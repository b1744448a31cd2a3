"""Small files in great number between a directory and S3: on the express lane, or the ordinary way where it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

from visprep import wire
from visprep.digests import algorithm_of, digest_of, is_digest_of
from visprep.errors import VisprepError, WrongContent
from visprep.express import Ask, express
from visprep.manifest import File
from visprep.messages import SMALL, header
from visprep.request_window import Window
from visprep.stores import Store
from visprep.stores.arrivals import Small, as_told
from visprep.stores.local import LocalStore

if TYPE_CHECKING:
    from visprep.stores.s3 import S3Store

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
    for file, answer in express(_asked(files, aside, origin.ask_for), window):
        try:
            if answer is None:
                raise _NotThisWay
            sink = Small(file, answer.pieces)
            told = origin.told(file, answer.head)
            done = as_told(sink.checked(), file, told)
            target.keep(file, answer.pieces)
        except (_NotThisWay, VisprepError):
            aside.refuse(file)
        else:
            yield file, done


def _up(
    origin: LocalStore, target: S3Store, files: Iterator[File | None], aside: _Aside, window: Window
) -> Iterator[tuple[File, File]]:
    digests: dict[str, str] = {}

    def ask(file: File) -> Ask:
        data = origin.read_small(file)
        digest = digest_of(data)
        if len(data) != file.size or (file.digest not in (None, digest) and not is_digest_of(file.digest, data)):
            raise _NotThisWay
        digests[file.path] = digest
        return target.ask_to_take(file.path, data, digest)

    for file, answer in express(_asked(files, aside, ask), window):
        digest = digests.pop(file.path)
        if answer is None:
            aside.refuse(file)
        else:
            yield file, File(file.path, file.size, digest, etag=header(answer.head, "etag"))


class _NotThisWay(Exception):
    """Something is out of the ordinary; what it is need not be known here."""


def _asked(
    files: Iterator[File | None], aside: _Aside, ask: Callable[[File], Ask]
) -> Iterator[tuple[File, Ask] | None]:
    """What to ask for each small file, until enough were put aside."""
    while not aside.full:
        try:
            file = next(files)
        except StopIteration:
            return
        if file is None:
            yield None
        elif file.size is None or file.size > SMALL:
            aside.files.append(file)
        else:
            try:
                asked = ask(file)
            except (_NotThisWay, VisprepError):
                aside.refuse(file)
            else:
                yield file, asked
