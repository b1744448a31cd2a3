"""From a zip file on a server straight to files: the archive itself is never on disk.

Ranges of it are on their way at once, a few dozen megabytes are in memory at the most. Threads check and write what has
arrived: many small files each in one go, a large one in the order of its pieces. Where all of the archive is asked
for, one more thread computes its digest, in order, as the bytes pass.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING

from visprep import wire
from visprep.engines.local import cores
from visprep.errors import VisprepError, WrongContent
from visprep.handles import part
from visprep.manifest import File
from visprep.range_order import Arrival, Hashing, Memory, Outcome, Stopped, Told, Writing
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.stores.remote_zip import Packed, RemoteZip
from visprep.stores.spans import Span, spans
from visprep.stores.unpacking import Landing
from visprep.stores.zip_members import whole
from visprep.wire import Window, each

if TYPE_CHECKING:
    from visprep.stores.s3_landing import BucketLanding

_MEBIBYTE = 1024 * 1024
#: Bytes of an archive that are in memory at once, arrived or on their way.
_HELD = 64 * _MEBIBYTE
#: Ranges on their way at once: at first, and at the most, where that turns out to be faster.
_FIRST, _MOST = 8, 32
#: Seconds between two looks at what the threads have done, and until one that found no room for a range looks again.
_GLANCE, _NAP = 0.1, 0.005
#: Seconds that a thread is waited for when the command is interrupted; it stops at the next byte that comes.
_PARTING = 2.0
#: Files of one range that are sent to a bucket at once.
_SENT = 8


class Unzipping:
    """Some files of an archive on their way to a directory or a bucket.

    With `algorithm` all bytes of the archive are fetched, and after the last outcome `digest` is theirs
    (`algorithm:hex`). Without `digests` small files are checked by their CRC-32 alone, as unzip does, and come back
    without a SHA-256. `jobs` ranges are under way (None: what is best), `memory` bytes held; `aside` is for wrong ones.
    `scratch` is where files below `.visprep/` go that are meant for a bucket.
    """

    def __init__(
        self,
        archive: RemoteZip,
        files: Iterable[Packed],
        target: Store,
        *,
        algorithm: str | None = None,
        digests: bool = True,
        jobs: int | None = None,
        aside: str | None = None,
        memory: int = _HELD,
        scratch: LocalStore | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        self._archive, self._on_bytes, self._digests = archive, on_bytes, digests
        self._threads, self._jobs = min(jobs or cores(), cores()), jobs or _MOST
        listed = list(files)
        self._refused = [one for one in listed if one.member.fault]
        self._spans = spans((one for one in listed if not one.member.fault), archive.size if algorithm else None)
        self._disk: Landing | None = None
        self._bucket: BucketLanding | None = None
        if isinstance(target, LocalStore):
            self._disk = Landing(target, aside)
        else:
            self._bucket = _on_s3(target, aside, scratch)
        self._told: Told = queue.SimpleQueue()
        self._memory = Memory(self._told, memory)
        self._stopped = self._asked_all = False
        self._waiting: Span | None = None
        self._lock = threading.Lock()
        # Those of which the order matters: what has arrived is handed on when all before it has
        self._order: deque[Arrival] = deque()
        landing = self._disk or self._bucket
        assert landing
        self._large = Writing(archive, landing.write, self._told)
        self._hashing = Hashing(algorithm, archive.size, self._told) if algorithm else None

    @property
    def digest(self) -> str | None:
        """`algorithm:hex` of the whole archive, None where it was not asked for."""
        return self._hashing.digest if self._hashing else None

    def outcomes(self) -> Generator[Outcome, None, None]:
        """The path and the finished file, or the error, of each file as it ends.

        What stands in the way of all of them, such as the network, is raised. Files are checked by their CRC-32, and
        come back with their SHA-256.
        """
        for one in self._refused:
            fault = one.member.fault
            assert fault
            yield one.path, fault.kind(f"{self._archive.file.path}: {one.path}: {fault.message}", hint=fault.hint)
        followers = [self._large, *([self._hashing] if self._hashing else [])]
        # Who fetches a range unpacks it, too: its bytes are still in that processor's cache
        fetchers = [
            threading.Thread(target=self._fetch, name=f"visprep-unzip-{number}", daemon=True)
            for number in range(self._threads)
        ]
        with contextlib.ExitStack() as ending:
            ending.callback(self._memory.end)
            for follower in followers:
                follower.start()
                ending.callback(follower.stop)
            for fetcher in fetchers:
                fetcher.start()
                ending.callback(fetcher.join, _PARTING)
            ending.callback(self._stop)
            while self._memory.held or any(fetcher.is_alive() for fetcher in fetchers):
                yield from self._finished(wait=True)
            for follower in followers:
                follower.end()
            yield from self._finished()

    def _stop(self) -> None:
        self._stopped = True

    def _fetch(self) -> None:
        """What each of the fetching threads does."""
        most = max(1, self._jobs // self._threads)
        window = Window(min(most, max(1, _FIRST // self._threads)), most)
        try:
            while not (self._asked_all or self._stopped):
                with contextlib.closing(wire.run(self._asked(), window, self._heard)) as arrivals:
                    for arrival, outcome in arrivals:
                        if isinstance(outcome, VisprepError):
                            raise outcome
                        self._arrived(arrival)
                if not self._asked_all:  # there is no room, and nothing is on its way
                    time.sleep(_NAP)
        except Stopped:
            pass
        except BaseException as error:
            self._told.put(error)
        finally:
            part()
        self._told.put(None)

    def _heard(self, count: int) -> None:
        if self._stopped:
            raise Stopped
        if self._disk:
            self._told.put(count)

    def _asked(self) -> Iterator[tuple[Arrival, wire.Job[str | None]] | None]:
        """A job for every range that no other thread has taken, as soon as there is room for its bytes."""
        while arrival := self._taken():
            store, file = self._archive.store, self._archive.file
            if arrival is True:
                yield None
            else:
                job = store.fetch_range(file, arrival.span.start, arrival.span.length, arrival.buffer)
                yield arrival, self._sent(arrival, job, self._bucket) if self._bucket else job

    async def _sent(self, arrival: Arrival, fetch: wire.Job[str | None], bucket: BucketLanding) -> str | None:
        """Fetch a range, and make objects of what lies in it."""
        told = await fetch
        self._told.put(arrival.span.length)  # here, since what is sent on is heard of as well
        if arrival.span.files:
            await each((self._send(one, arrival, bucket) for one in arrival.span.files), lambda: _SENT)
            arrival.had()
        return told

    async def _send(self, one: Packed, arrival: Arrival, bucket: BucketLanding) -> None:
        member, start = one.member, arrival.span.start
        view = arrival.buffer.view[member.offset - start : member.limit - start]
        try:
            outcome: File | VisprepError = await bucket.put(
                one.path, member, lambda: whole(view, member, self._archive.file.path)
            )
        except WrongContent as error:
            outcome = await bucket.refuse(one.path, member, view, error)
        except VisprepError as error:
            outcome = error
        self._told.put((one.path, outcome))

    def _taken(self) -> Arrival | bool:
        """The next range; True when there is no room for it yet, False when there is none."""
        with self._lock:
            span = self._waiting or next(self._spans, None)
            self._waiting = span
            if span is None:
                self._asked_all = True
                return False
            if not self._memory.has_room(span.length):
                return True
            self._waiting = None
            arrival = Arrival(span, self._memory, bool(self._hashing))
            if self._hashing or span.large:
                self._order.append(arrival)
            return arrival

    def _arrived(self, arrival: Arrival) -> None:
        """Unpack what lies in a range, and hand on what waits for it."""
        if arrival.span.files and self._disk:
            self._unpack(arrival, self._disk)
        with self._lock:
            arrival.here = True
            while self._order and self._order[0].here:
                first = self._order.popleft()
                if first.span.large:
                    self._large.take(first)
                if self._hashing:
                    self._hashing.take(first)

    def _unpack(self, arrival: Arrival, disk: Landing) -> None:
        for one in arrival.span.files:
            self._told.put((one.path, self._one(one, arrival, disk)))
        arrival.had()

    def _one(self, one: Packed, arrival: Arrival, disk: Landing) -> File | VisprepError:
        member, start = one.member, arrival.span.start
        try:
            view = arrival.buffer.view[member.offset - start : member.limit - start]
            data = whole(view, member, self._archive.file.path)
            disk.put(one.path, member, data)
        except WrongContent as error:
            return disk.refuse(one.path, member, view, error)
        except VisprepError as error:
            return error
        return File(one.path, member.size, f"sha256:{hashlib.sha256(data).hexdigest()}" if self._digests else None)

    def _finished(self, *, wait: bool = False) -> Iterator[Outcome]:
        """What has ended meanwhile; with `wait`, something is waited for first."""
        with contextlib.suppress(queue.Empty):
            while True:
                told = self._told.get(wait, _GLANCE)
                wait = False
                if isinstance(told, BaseException):
                    raise told
                if isinstance(told, tuple):
                    yield told
                elif told and self._on_bytes:
                    self._on_bytes(told)


def is_of_target(problem: VisprepError) -> bool:
    """Whether it is a bucket that has something against what was sent there, and no fault of the archive's."""
    return getattr(problem, "of_target", False) is True


def _on_s3(target: Store, aside: str | None, scratch: LocalStore | None) -> BucketLanding:
    from visprep.stores.s3 import S3Store  # here, since directories need none of it
    from visprep.stores.s3_landing import BucketLanding

    assert isinstance(target, S3Store)  # there are no other places that can be written to
    return BucketLanding(target, aside, scratch)
