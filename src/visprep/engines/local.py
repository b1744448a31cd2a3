"""This machine: threads of this process, for work that waits for disks and servers; processes, for much to decode."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from visprep.errors import UsageError, WorkerLost

if TYPE_CHECKING:
    from visprep.engines.processes import Processes
    from visprep.stores import Store

A = TypeVar("A")
B = TypeVar("B")

#: Seconds after which the caller of `map_ordered` may do something else while he waits.
_TURN = 0.1
#: Whether this process is one of many workers, each of which has a processor.
_alone = False


def work_alone() -> None:
    """From now on this process, a worker among others, counts on one processor."""
    global _alone
    _alone = True


def cores() -> int:
    """Processors that this process may use."""
    if _alone:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_count(name: str, number: int | None, least: int = 1) -> None:
    """UsageError when a number that counts something is there and is no whole number from `least` on."""
    if number is not None and (not isinstance(number, int) or number < least):
        raise UsageError(f"--{name} {number}: a whole number, at least {least}", hint="leave it out for the default")


def map_ordered(
    work: Callable[[A], B],
    items: Iterable[A],
    jobs: int | None = None,
    meanwhile: Callable[[], None] | None = None,
    *,
    quick: Callable[[A], bool] = lambda _: False,
) -> Iterator[B]:
    """`work(item)` for every item, in the order of `items`, with `jobs` threads (None: one a core).

    No more than a few items per thread are under way or waiting to be taken, whatever the length of `items`. An
    exception of `work` is raised where its result would have come. `meanwhile` is called ten times a second while a
    result is waited for. What is `quick` is done by the caller's thread when nothing else is under way.
    """

    def result(future: Future[B]) -> B:
        if meanwhile:
            while not wait((future,), _TURN).done:
                meanwhile()
        return future.result()

    jobs = jobs or cores()
    if jobs == 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="visprep")
    under_way: deque[Future[B]] = deque()
    try:
        for item in items:
            if not under_way and quick(item):
                yield work(item)
                continue
            under_way.append(pool.submit(work, item))
            if len(under_way) >= 4 * jobs:
                yield result(under_way.popleft())
        while under_way:
            yield result(under_way.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Local:
    """The engine of this machine: verbs take their own road in this process, with `jobs` as they understand it.

    Where many images are decoded, they ask for its `crew`.
    """

    name = "local"
    spreads = False

    def __init__(self, jobs: int | None = None) -> None:
        check_count("jobs", jobs)
        self.jobs = jobs
        self._crew: Processes | None = None

    def crew(self) -> Processes | None:
        """Processes of this machine, until `close`; None where they would be no more than this one, or are not allowed.

        An image that kills its decoder kills none but its worker. Python's lock, which threads wait for between two
        calls of a decoder, does not hold them up; each takes about half a second of a processor to begin.
        """
        if (self.jobs or cores()) == 1:
            return None
        import multiprocessing  # here, for few commands need them

        from visprep.engines.processes import Processes

        if multiprocessing.current_process().daemon:
            return None
        if self._crew is None:
            self._crew = Processes(self.jobs)
        return self._crew

    def map(
        self,
        work: Callable[[Sequence[A]], Sequence[B]],
        slices: Iterable[Sequence[A]],
        *,
        lost: Callable[[A, WorkerLost], B],
        meanwhile: Callable[[], None] | None = None,
    ) -> Iterator[Sequence[B]]:
        """See `Engine`; in threads, whose death would be that of the whole process."""
        return map_ordered(work, slices, self.jobs, meanwhile)

    def check(self, *stores: Store) -> None:
        """Nothing: the driver is the only worker."""

    def close(self) -> None:
        """End the crew; else nothing is left under way when nobody takes results."""
        if self._crew is not None:
            self._crew.close()
            self._crew = None
