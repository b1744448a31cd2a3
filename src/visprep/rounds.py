"""Rounds: one work, done for every file or record of a list, here or by an engine, and always in the order of the list.

A work and what it needs to know of the place are small and can be pickled: on an engine that spreads, another process
looks at a slice of the list just as this one would look at all of it, and sends back what it found and what it read.
"""

from __future__ import annotations

import functools
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from visprep import traffic, wire
from visprep.digests import DigestSink, digest_of
from visprep.engines import Engine, crew_for, slices
from visprep.engines.local import map_ordered
from visprep.errors import VisprepError
from visprep.image_loading import Seen, see, unseen
from visprep.manifest import File
from visprep.progress import OnProgress, Progress
from visprep.rules import Depth
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.traffic import Traffic, metered
from visprep.verify_memory import Ledger

A = TypeVar("A")
B = TypeVar("B")

#: Items from which on processes of this machine are worth the third of a second in which they begin. On two processors
#: threads do as well, so that of headers, which kill nobody, many must be there.
_WORTH, _WORTH_DECODING = 50_000, 1_000
#: What another process is sent at once: so many files, or so many bytes to read; and files of which it reads a little.
_MOST, _MOST_BYTES, _MOST_FAR = 256, 64 * 1024 * 1024, 1024


@dataclass(frozen=True, slots=True)
class Eye:
    """Looks at files of a place to a depth; what a work is given.

    `near` says that reading costs no request. Of what is `settled`, the record of the place tells without reading
    whether it is as it was; images of these are not looked into, and noted in `spared`. `digests` are those of files
    that were read to their end, by path, where all bytes are wanted and reading them twice costs.
    """

    store: Store
    depth: Depth
    near: bool
    settled: Set[str] = frozenset()
    spared: set[str] = field(default_factory=set)
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def hashes(self) -> bool:
        """Whether the digest of what is read is noted."""
        return not self.near and self.depth.reaches(Depth.CONTENT)

    def note(self, path: str, data: bytes) -> None:
        """Note the digest of a file of which all was read."""
        if self.hashes:
            self.digests[path] = digest_of(data)

    def note_digest(self, path: str, digest: str | None) -> None:
        """Note the digest of a file of which all was read, as it was told."""
        if self.hashes and digest and digest.startswith("sha256:"):
            self.digests[path] = digest

    def passing(self, path: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces of a file as they come; at their end its digest is noted."""
        hashing = DigestSink() if self.hashes else None
        for chunk in chunks:
            if hashing:
                hashing.write(chunk)
            yield chunk
        self.note_digest(path, hashing.digest if hashing else None)

    async def read(self, file: File) -> bytes:
        """All of a file; errors as `Store.read`."""
        data = await self.store.read(file.path)
        self.note(file.path, data)
        return data

    async def see(self, file: File, *, digest: bool = False) -> Seen:
        """See `image_loading.see`."""
        if file.size and file.path in self.settled:
            self.spared.add(file.path)
            return Seen(digest=file.digest)
        seen = await see(self.store, file, self.depth, near=self.near, digest=digest or self.hashes)
        if self.hashes and seen.read and seen.digest:
            self.digests[file.path] = seen.digest
        return seen


@dataclass(frozen=True, slots=True)
class Work(Generic[A, B]):
    """What is done for every item of a round.

    `do(eye, item)` is a function of a module, or a partial of one with few and small keywords. It may read `files` of
    the item; `lost` is what to say when that ends the process that does it. `gives` is the type of what it gives.
    """

    do: Callable[[Eye, A], wire.Job[B]]
    files: Callable[[A], Iterable[File]]
    lost: Callable[[A, VisprepError], B]
    gives: Any


async def _seen(eye: Eye, file: File) -> Seen:
    return await eye.see(file)


#: Looks at an image.
SEEING = Work(_seen, lambda file: (file,), unseen, Seen)

#: An item with those of its files that are settled; what a work gave for it, with what it asked for and spared.
_Parcel = tuple[A, tuple[str, ...]]
_Return = tuple[B, Traffic, tuple[str, ...], dict[str, str]]


@functools.lru_cache(maxsize=2)
def _unpacked(packed: bytes) -> tuple[Callable[[Eye, Any], wire.Job[Any]], Eye]:
    """A work and its eye, once in a process: a store finds out about its place only once, and keeps its connections."""
    do, eye = pickle.loads(packed)  # noqa: S301 -- our own, from the process that started this one
    return do, eye


def _slice(packed: bytes, parcels: Sequence[_Parcel[Any]]) -> list[_Return[Any]]:
    """Do a work for some items, in another process: as it is done here, by one thread."""
    do, known = _unpacked(packed)
    eye = replace(known, settled={path for _, settled in parcels for path in settled}, spared=set(), digests={})
    with metered() as meter:
        items, work = (item for item, _ in parcels), functools.partial(do, eye)
        results = (
            [_at_once(work, item) for item in items]
            if eye.near
            else list(in_order(wire.run(enumerate(map(work, items)))))
        )
    told = [meter, *(Traffic() for _ in results[1:])]
    spared = [tuple(eye.spared), *(() for _ in results[1:])]
    digests = [eye.digests, *({} for _ in results[1:])]
    return list(zip(results, told, spared, digests, strict=True))


class Rounds:
    """The rounds of one verify."""

    def __init__(
        self,
        eye: Eye,
        engine: Engine,
        jobs: int | None,
        progress: OnProgress,
        meter: Traffic,
        ledger: Ledger | None = None,
    ) -> None:
        self.eye, self.engine, self.jobs, self.progress, self.meter = eye, engine, jobs, progress, meter
        self.ledger = ledger

    def each(
        self, stage: str, items: Sequence[A], work: Callable[[A], wire.Job[B]], unit: str, jobs: int | None = None
    ) -> Iterator[B]:
        """Any work for a few items, always by this process."""
        yield from self._told(stage, self._here(items, work, jobs), len(items), unit)

    def over(
        self, stage: str, items: Iterable[A], work: Work[A, B], unit: str, *, total: int, jobs: int | None = None
    ) -> Iterator[B]:
        """A work for `total` items, by whatever engine; what is remembered of a verify that was killed is not done."""
        if self.ledger is None:
            results = self._by_engine(items, work, total, jobs)
        else:
            results = self._remembered(self.ledger, stage, items, work, total, jobs)
        yield from self._told(stage, results, total, unit)

    def _told(self, stage: str, results: Iterable[B], total: int, unit: str) -> Iterator[B]:
        for done, result in enumerate(results, 1):
            self.progress(Progress(stage, done, total, unit, None if self.eye.near else self.meter))
            yield result

    def _here(self, items: Iterable[A], work: Callable[[A], wire.Job[B]], jobs: int | None) -> Iterator[B]:
        """In threads where it waits for the disk and the processor, else with many requests in flight."""
        if self.eye.near:
            return map_ordered(functools.partial(_at_once, work), items, self.jobs or jobs)
        return in_order(wire.run(enumerate(map(work, items)), self.jobs or wire.IN_FLIGHT))

    def _spreading(self, total: int) -> Engine | None:
        """Whoever takes slices of so many items; None where this process does the work."""
        looks = isinstance(self.eye.store, LocalStore) and self.eye.depth.reaches(Depth.HEADERS)
        worth = _WORTH_DECODING if self.eye.depth.reaches(Depth.DECODE) else _WORTH
        return crew_for(self.engine, looks and total >= worth)

    def _by_engine(self, items: Iterable[A], work: Work[A, B], total: int, jobs: int | None) -> Iterator[B]:
        engine = self._spreading(total)
        if engine is None:
            yield from self._here(items, functools.partial(work.do, self.eye), jobs)
            return
        settled = self.eye.settled
        packed = pickle.dumps((work.do, replace(self.eye, settled=frozenset(), spared=set(), digests={})))
        parcels = (
            (item, tuple(file.path for file in work.files(item) if file.path in settled) if settled else ())
            for item in items
        )

        def weight(parcel: _Parcel[A]) -> int:
            return sum(file.size or 0 for file in work.files(parcel[0]))

        def lost(parcel: _Parcel[A], error: VisprepError) -> _Return[B]:
            return work.lost(parcel[0], error), Traffic(), (), {}

        little = not self.eye.near and not self.eye.depth.reaches(Depth.DECODE)
        cut = slices(parcels, _MOST_FAR) if little else slices(parcels, _MOST, _MOST_BYTES, weight)
        for some in engine.map(functools.partial(_slice, packed), cut, lost=lost):
            for result, asked, spared, digests in some:
                traffic.add(asked)
                self.eye.spared.update(spared)
                self.eye.digests.update(digests)
                yield result

    def _remembered(
        self, ledger: Ledger, stage: str, items: Iterable[A], work: Work[A, B], total: int, jobs: int | None
    ) -> Iterator[B]:
        """The results of all items; those that are known are not looked for, what is settled costs nothing anyway."""
        pages = ledger.pages(stage, work.do, work.gives)
        waiting: deque[tuple[A, tuple[B] | None]] = deque()

        def left() -> Iterator[A]:
            for item in items:
                known = pages.find(item) if pages.knows and not self._settled(work, item) else None
                waiting.append((item, known))
                if known is None:
                    yield item

        for done, result in enumerate(self._by_engine(left(), work, total, jobs)):
            while (known := waiting[0][1]) is not None:
                waiting.popleft()
                yield known[0]
            item, _ = waiting.popleft()
            if pages.due(done if self.eye.near else 0):  # requests are dear
                pages.note(item, result)
            yield result
        yield from (known[0] for _, known in waiting if known)

    def _settled(self, work: Work[A, Any], item: A) -> bool:
        return bool(self.eye.settled) and any(file.path in self.eye.settled for file in work.files(item))


def _at_once(work: Callable[[A], wire.Job[B]], item: A) -> B:
    """`wire.wait` without its cost, for work that waits for nothing: on this machine none does."""
    job = work(item)
    try:
        job.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    job.close()
    return wire.wait(work(item))


def in_order(outcomes: Iterable[tuple[int, B | VisprepError]]) -> Iterator[B]:
    """What numbered jobs returned, by number: they end in whatever order."""
    early: dict[int, B] = {}
    wanted = 0
    for number, outcome in outcomes:
        if isinstance(outcome, VisprepError):
            raise outcome
        early[number] = outcome
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1
