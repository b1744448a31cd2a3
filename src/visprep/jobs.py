"""What a job, a coroutine that `wire` drives, may wait for: requests, jobs of its own, and the work of another thread."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from typing import Any, TypeVar

from visprep.messages import Request, Response

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
