"""Jobs that run jobs of their own, or wait for a thread: what ends them, and in which order they tidy up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from visprep import wire
from visprep.errors import ServerFailed, Stalled
from visprep.testing import Mirror
from visprep.wire import Patience, Request, each, send, until

QUICK = Patience(stall=5, attempts=1, base=0.001, longest=0.01)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    (tmp_path / "a").write_bytes(b"a")
    with Mirror(tmp_path) as mirror:
        yield mirror


def test_so_many_at_a_time(mirror: Mirror) -> None:
    now, most, done = 0, 0, list[int]()

    async def one(number: int) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        assert (await send(Request(f"{mirror.url}/a"))).body == b"a"
        now -= 1
        done.append(number)

    async def outer() -> str:
        await each(map(one, range(20)), lambda: 3)
        return "whole"

    assert wire.wait(outer(), QUICK) == "whole"
    assert sorted(done) == list(range(20))
    assert most == 3


def test_none_at_all_and_jobs_that_wait_for_nothing() -> None:
    async def nothing() -> None:
        pass

    async def outer() -> int:
        await each([], lambda: 3)
        await each((nothing() for _ in range(3)), lambda: 1)
        await until(lambda: True)
        return 1

    assert wire.wait(outer()) == 1


@pytest.mark.parametrize("error", [Stalled("gone"), ValueError("a bug")])
def test_the_first_error_ends_the_others(mirror: Mirror, error: Exception) -> None:
    mirror.fault("GET", None, stall=True)
    order: list[str] = []

    async def waiting(what: str) -> None:
        try:
            await (send(Request(f"{mirror.url}/a")) if what == "request" else until(lambda: False))
        finally:
            order.append(what)

    async def failing() -> None:
        raise error

    async def outer() -> None:
        try:
            await each(iter([waiting("request"), waiting("thread"), failing()]), lambda: 3)
        finally:
            order.append("outer")

    with pytest.raises(type(error)):
        wire.wait(outer(), QUICK)
    assert sorted(order[:2]) == ["request", "thread"]
    assert order[2:] == ["outer"]


def test_an_error_may_be_caught_and_another_job_goes_on_meanwhile(mirror: Mirror) -> None:
    mirror.fault("GET /a", 1, status=500)

    async def ask() -> None:
        await send(Request(f"{mirror.url}/a"))

    async def outer() -> str:
        try:
            await each((ask() for _ in range(2)), lambda: 1)
        except ServerFailed:
            await each((ask() for _ in range(2)), lambda: 2)
            return "went on"
        return "no error"

    async def neighbor() -> bytes:
        return (await send(Request(f"{mirror.url}/a"))).body

    outcomes = dict(wire.run([("outer", outer()), ("neighbor", neighbor())], 1, patience=QUICK))
    assert outcomes == {"outer": "went on", "neighbor": b"a"}


def test_who_stops_listening_closes_helpers_first(mirror: Mirror) -> None:
    mirror.fault("GET", None, stall=True)
    order: list[str] = []

    async def helper() -> None:
        try:
            await send(Request(f"{mirror.url}/a"))
        finally:
            order.append("helper")

    async def outer() -> None:
        try:
            await each((helper() for _ in range(2)), lambda: 2)
        finally:
            order.append("outer")

    async def nothing() -> None:
        pass

    running = wire.run([("outer", outer()), ("nothing", nothing())], patience=QUICK)
    assert next(running) == ("nothing", None)
    running.close()  # type: ignore[attr-defined]
    assert order == ["helper", "helper", "outer"]


def test_waiting_for_a_thread() -> None:
    done = threading.Event()

    async def job() -> bool:
        threading.Timer(0.02, done.set).start()
        await until(done.is_set)
        return done.is_set()

    assert wire.wait(job())
