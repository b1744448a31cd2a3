"""The one room that opens sockets: many HTTP requests in flight over libcurl's multi interface, in one thread.

Callers write straight-line coroutines that `await send(Request(...))`; `run` drives thousands of them at once and
gives each outcome as it comes, `wait` drives one. This is not asyncio: a coroutine may only await what `jobs` offers,
and one that never does (a local store's) costs nothing but its call.

Done here, so that nobody else needs to: retries with backoff and jitter for 408, 429, 5xx, resets, stalls and
short bodies; resuming a body where it broke; timeouts, proxies (libcurl reads the usual variables), redirects.
Any other answer is returned for the caller to interpret. Each thread has connections of its own, and so has the child
of a fork.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Generic

import pycurl

from visprep import traffic
from visprep.errors import VisprepError
from visprep.exchange import Exchange
from visprep.handles import Handles, borrow, explain, give_back, keep_forever
from visprep.jobs import Flight, Job, K, Running, T, each, send, send_all, until
from visprep.messages import Patience, RangesIgnored, Request, Response, Sink
from visprep.request_window import Window

__all__ = [
    "IN_FLIGHT",
    "Job",
    "Patience",
    "RangesIgnored",
    "Request",
    "Response",
    "Sink",
    "Window",
    "each",
    "run",
    "send",
    "send_all",
    "until",
    "wait",
]

log = logging.getLogger("visprep.wire")
# Who does not ask for our log shall not see its warnings on stderr either
logging.getLogger("visprep").addHandler(logging.NullHandler())

#: Jobs at work at the same time unless a caller says otherwise.
IN_FLIGHT = 64
#: Seconds that jobs may work on before the connections get their turn.
_TURN = 0.01
#: The answers that ask for fewer requests at once.
_TOO_MANY = frozenset({429, 503})
#: Seconds between two looks at what another thread is to finish: no handle of libcurl's can be woken by one.
_GLANCE = 0.001


class _Loop(Generic[K, T]):
    """One `run`: the jobs at work, and their exchanges."""

    def __init__(
        self,
        handles: Handles,
        jobs: Iterable[tuple[K, Job[T]] | None],
        window: Window,
        on_bytes: Callable[[int], None] | None,
        weigh: Callable[[K], int] | None,
    ) -> None:
        self._handles, self._jobs, self._window, self._on_bytes = handles, iter(jobs), window, on_bytes
        self._weigh = weigh
        # The next job with its charge, when it has come already and must wait for its bytes
        self._next: tuple[K, Job[T], int] | None = None
        self._held = 0
        self._exhausted = False
        self._launched = False
        self._moved = 0
        self._running: set[Running[K, T]] = set()
        # Those that work for another job, in the order in which they were started
        self._helpers: dict[Running[K, T], None] = {}
        self._until: list[tuple[Running[K, T], Callable[[], bool]]] = []
        # What each job that can go on is given: nothing at its start, its responses, or an error
        self._ready: deque[tuple[Running[K, T], list[Response] | Exception | None]] = deque()
        self._flying: dict[Any, Flight[K, T]] = {}
        self._paused: list[tuple[float, int, Flight[K, T]]] = []
        self._order = itertools.count()

    def outcomes(self) -> Iterator[tuple[K, T | VisprepError]]:
        """See `run`."""
        try:
            turn = time.monotonic()
            while True:
                if not self._ready:
                    self._take()
                if not self._running:
                    return
                if self._ready:
                    finished = self._step(*self._ready.popleft())
                    if finished:
                        if self._launched:
                            self._move()  # what was begun goes out before the caller takes its time
                        yield finished
                    if time.monotonic() - turn > _TURN:
                        self._move()
                        turn = time.monotonic()
                else:
                    self._move()
                    self._rest()
                    turn = time.monotonic()
        finally:
            if self._handles.pid == os.getpid():
                with ExitStack() as all_of_them:
                    for unfinished in (*self._running, *self._helpers):  # the last first
                        all_of_them.callback(unfinished.job.close)
                    if self._next:
                        all_of_them.callback(self._next[1].close)
            else:
                # In a forked child: the jobs are the parent's, and so is their tidying up
                keep_forever((self._running, self._helpers, self._next))

    def _take(self) -> None:
        """Take on one more job, if one more may be at work: one at a time, since the next may be long in coming."""
        window = self._window
        if self._exhausted or len(self._running) >= window.most:
            return
        if len(self._flying) >= window.size:
            window.full()
            return
        if self._paused and self._paused[0][0] <= time.monotonic():
            return  # who was refused goes first
        if self._next is None:
            try:
                taken = next(self._jobs)
            except StopIteration:
                self._exhausted = True
                return
            if taken is None:
                return
            key, job = taken
            self._next = key, job, window.charge(self._weigh(key)) if self._weigh else 0
        key, job, charge = self._next
        if self._held and self._held + charge > window.budget:
            return
        self._next = None
        started: Running[K, T] = Running(key, job, charge)
        self._held += charge
        self._running.add(started)
        self._ready.append((started, None))

    def _leave(self, ended: Running[K, T]) -> None:
        self._running.discard(ended)
        self._helpers.pop(ended, None)
        self._held -= ended.charge

    def _step(
        self, current: Running[K, T], value: list[Response] | Exception | None
    ) -> tuple[K, T | VisprepError] | None:
        """Let a job go on to its next requests, or to its end: then its key and outcome."""
        if self._was_ended(current):
            return None
        try:
            go_on: Any = current.job.throw if isinstance(value, Exception) else current.job.send
            requests = go_on(value)
        except StopIteration as end:
            return self._ended(current, end.value)
        except BaseException as error:
            if isinstance(error, VisprepError) or (current.parent and isinstance(error, Exception)):
                return self._ended(current, error)
            self._leave(current)
            raise
        if type(requests) is not list and not isinstance(requests, Sequence):
            self._await(current, requests)
            return None
        current.answers = {}
        current.flights = [
            Flight(current, index, Exchange(request, self._handles.patience, self._count))
            for index, request in enumerate(requests)
        ]
        for flight in current.flights:
            self._launch(flight)
        return None

    def _await(self, job: Running[K, T], what: Any) -> None:
        if isinstance(what, each):
            job.awaits = what
            self._help(job)
        elif isinstance(what, until):
            self._until.append((job, what.done))
        else:
            raise TypeError(f"a job may only await what wire offers, not {what!r}")

    def _was_ended(self, job: Running[K, T]) -> bool:
        """Whether a job worked for another, which gave up."""
        return job.parent is not None and job not in self._helpers

    def _ended(self, job: Running[K, T], outcome: Any) -> tuple[K, T | VisprepError] | None:
        """A job is at its end: of `run`'s own the key and outcome, else the one that it worked for goes on."""
        parent = job.parent
        if parent is None:
            self._leave(job)
            return job.key, outcome
        del self._helpers[job]
        parent.children.remove(job)
        if isinstance(outcome, Exception):
            self._fail(parent, outcome)
        else:
            self._help(parent)
        return None

    def _help(self, parent: Running[K, T]) -> None:
        """Start the jobs that another one waits for, as many as may be; it goes on when all have ended."""
        assert parent.awaits
        while len(parent.children) < parent.awaits.in_flight():
            try:
                job = next(parent.awaits.jobs)
            except StopIteration:
                break
            except Exception as error:
                self._fail(parent, error)
                return
            child = Running(parent.key, job, parent=parent)
            parent.children.append(child)
            self._helpers[child] = None
            self._ready.append((child, None))
        if not parent.children:
            self._ready.append((parent, []))

    def _launch(self, flight: Flight[K, T]) -> None:
        if flight.cancelled:
            return
        try:
            flight.curl = self._handles.start(flight.exchange)
        except Exception as error:  # of the caller's own `sign` or sink, or a request that libcurl cannot send
            self._fail(flight.owner, error)
        else:
            self._flying[flight.curl] = flight
            self._launched = True
            flight.halved = self._window.halved
            if self._window.bandwidth:
                self._hold_back(flight.curl, int(self._window.bandwidth) or 1)

    def _move(self) -> None:
        """Give the connections their turn: retries that are due, then what libcurl can do without waiting."""
        if self._handles.pid != os.getpid():
            raise RuntimeError("this run belongs to the process that started it; start another after the fork")
        while self._may_retry() and self._paused[0][0] <= time.monotonic():
            self._launch(heapq.heappop(self._paused)[2])
        self._launched = False
        if self._until:
            self._until, asked = [], self._until
            for job, done in asked:
                if not self._was_ended(job):
                    self._ready.append((job, [])) if done() else self._until.append((job, done))
        if self._flying:
            if self._window.bandwidth:
                self._pace()
            for curl, complaint in self._handles.perform():
                if flight := self._flying.get(curl):  # or a sibling has ended it a moment ago
                    self._settle(flight, complaint)
            self._tell()

    def _may_retry(self) -> bool:
        return bool(self._paused) and len(self._flying) < self._window.size

    def _pace(self) -> None:
        """Wait as long as the bandwidth wants it: what nobody takes from a connection is not sent on it."""
        for flight in self._flying.values():
            self._weigh_up(flight)
        while pause := self._window.pause():
            time.sleep(pause)

    @staticmethod
    def _hold_back(curl: Any, speed: int) -> None:
        """Keep one connection from moving in one go what would take all of them minutes to make up for; 0 ends that."""
        curl.setopt(pycurl.MAX_RECV_SPEED_LARGE, speed)
        curl.setopt(pycurl.MAX_SEND_SPEED_LARGE, speed)

    def _weigh_up(self, flight: Flight[K, T]) -> None:
        moved = flight.curl.getinfo(pycurl.SIZE_DOWNLOAD_T) + flight.curl.getinfo(pycurl.SIZE_UPLOAD_T)
        self._window.moved(moved - flight.moved)
        flight.moved = moved

    def _rest(self) -> None:
        """Wait for something to happen, unless a job can go on already."""
        if not self._ready:
            pause = self._paused[0][0] - time.monotonic() if self._may_retry() else 1.0
            if self._until:
                pause = min(pause, _GLANCE)
            if self._flying:
                self._handles.wait(max(0.0, min(pause, 1.0)))
            elif pause > 0:
                time.sleep(pause)

    def _count(self, moved: int) -> None:
        self._moved += moved

    def _tell(self) -> None:
        if self._moved and self._on_bytes:
            self._on_bytes(self._moved)
        self._moved = 0

    def _settle(self, flight: Flight[K, T], complaint: tuple[int, str] | None) -> None:
        """Deliver, retry or fail an exchange whose attempt has ended, with libcurl's complaint if it has one."""
        exchange, curl, owner = flight.exchange, flight.curl, flight.owner
        request = exchange.request
        failure = explain(curl, request, *complaint) if complaint else None
        try:
            followed = request.follow and not complaint
            outcome = exchange.conclude(failure, curl.getinfo(pycurl.EFFECTIVE_URL) if followed else request.url)
        except Exception as error:  # of the caller's sink or `retry`
            self._fail(owner, error)
            return
        traffic.note(log, curl, request, exchange.status)
        self._release(flight)
        if exchange.status in _TOO_MANY:
            self._window.slow_down(flight.halved)
        if isinstance(outcome, Response):
            self._window.ended()
            self._moved += len(request.body or b"")
            owner.answers[flight.index] = outcome
            if len(owner.answers) == len(owner.flights):
                answers = [owner.answers[index] for index in range(len(owner.flights))]
                owner.flights = []
                self._ready.append((owner, answers))
        elif outcome.again and exchange.may_try_again():
            pause = exchange.pause()
            log.info("%s; trying again in %.1f s", outcome.error.message, pause)
            heapq.heappush(self._paused, (time.monotonic() + pause, next(self._order), flight))
        else:
            self._fail(owner, outcome.error)

    def _fail(self, owner: Running[K, T], error: Exception) -> None:
        """Give up all that a job waits for, and let it know."""
        self._abandon(owner)
        self._ready.append((owner, error))

    def _abandon(self, owner: Running[K, T]) -> None:
        """End all that a job waits for: its requests, and the jobs that work for it."""
        for flight in owner.flights:
            flight.cancelled = True
            self._release(flight)
        owner.flights = []
        for child in owner.children:
            self._abandon(child)
            del self._helpers[child]
            child.job.close()
        owner.children = []

    def _release(self, flight: Flight[K, T]) -> None:
        if flight.curl is not None:
            if self._window.bandwidth:
                self._weigh_up(flight)
                flight.moved = 0
                self._hold_back(flight.curl, 0)
            curl, flight.curl = flight.curl, None
            self._flying.pop(curl, None)
            self._handles.release(curl)


def run(
    jobs: Iterable[tuple[K, Job[T]] | None],
    in_flight: int | Window = IN_FLIGHT,
    on_bytes: Callable[[int], None] | None = None,
    patience: Patience | None = None,
    weigh: Callable[[K], int] | None = None,
) -> Generator[tuple[K, T | VisprepError], None, None]:
    """The outcome of every job as it ends, with its key: what it returned, or the VisprepError it raised.

    `jobs` is pulled only as fast as jobs end: `in_flight` at a time, or as a `Window` sees fit, for which `weigh`
    tells from its key how many bytes a job holds in memory. Where it gives None there is nothing to begin now, and it
    is asked again while others are at work. `on_bytes` is told by how many bytes sinks grow, or shrink when one starts
    over, and how many a body had that arrived. Any other exception is a bug or an interrupt: it ends everything, and
    every unfinished job is closed so that it can tidy up. Connections are kept for the next call in this thread.
    """
    window = in_flight if isinstance(in_flight, Window) else Window.fixed(in_flight)
    handles, whole = borrow(patience or Patience()), False
    try:
        yield from _Loop(handles, jobs, window, on_bytes, weigh).outcomes()
        whole = True
    finally:
        if whole:
            give_back(handles)
        elif handles.pid == os.getpid():
            handles.close()


def wait(job: Job[T], patience: Patience | None = None) -> T:
    """Run one job to its end: what it returns, or the error that it raises."""
    ((_, outcome),) = run([(None, job)], 1, None, patience)
    if isinstance(outcome, VisprepError):
        raise outcome
    return outcome
