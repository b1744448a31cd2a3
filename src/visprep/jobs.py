"""What a job, a coroutine that `wire` drives, may wait for: requests, jobs of its own, the work of a thread."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from typing import Any, Generic, TypeVar

from visprep.exchange import Exchange
from visprep.messages import Request, Response

K = TypeVar("K")
T = TypeVar("T")


class send:  # noqa: N801 -- used as a verb: `response = await send(request)`
    """Awaitable: one request, its `Response`.

    Raises a NetworkError when all attempts failed, and ChangedMeanwhile as `Request` says.
    """

    def __init__(self, request: Request) -> None:
        self.requests: Sequence[Request] = [request]

    def __await__(self) -> Generator[Sequence[Request], list[Response], Response]:
        return (yield self.requests)[0]


class send_all:  # noqa: N801
    """Awaitable: several requests at once, their responses in the same order; the first error ends all of them."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.requests = requests

    def __await__(self) -> Generator[Sequence[Request], list[Response], list[Response]]:
        if not self.requests:
            return []
        return (yield self.requests)


class each:  # noqa: N801
    """Awaitable: run jobs of one's own, `in_flight()` at a time, to their ends; the first error ends all of them.

    `jobs` is pulled as jobs end, so that the next may be made from what is known by then.
    """

    def __init__(self, jobs: Iterable[Job[None]], in_flight: Callable[[], int]) -> None:
        self.jobs, self.in_flight = iter(jobs), in_flight

    def __await__(self) -> Generator[Any, Any, None]:
        yield self


class until:  # noqa: N801
    """Awaitable: the moment when `done()` is true, which it becomes by the work of another thread."""

    def __init__(self, done: Callable[[], bool]) -> None:
        self.done = done

    def __await__(self) -> Generator[Any, Any, None]:
        if not self.done():
            yield self


Job = Coroutine[object, list[Response] | None, T]


class Running(Generic[K, T]):
    """A job that has been started, what it waits for, and for whom it works if it is not one of `run`'s own."""

    __slots__ = ("answers", "awaits", "charge", "children", "flights", "job", "key", "parent")

    def __init__(self, key: K, job: Job[Any], charge: int = 0, parent: Running[K, T] | None = None) -> None:
        self.key, self.job, self.charge, self.parent = key, job, charge, parent
        self.answers: dict[int, Response] = {}
        self.flights: list[Flight[K, T]] = []
        self.awaits: each | None = None
        self.children: list[Running[K, T]] = []


class Flight(Generic[K, T]):
    """An exchange on its way for a job, or (without a handle) waiting to be tried again."""

    __slots__ = ("cancelled", "curl", "exchange", "halved", "index", "moved", "owner")

    def __init__(self, owner: Running[K, T], index: int, exchange: Exchange) -> None:
        self.owner, self.index, self.exchange = owner, index, exchange
        self.curl: Any = None
        self.cancelled = False
        self.halved = self.moved = 0
