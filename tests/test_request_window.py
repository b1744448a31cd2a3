"""How many requests are in flight: simulated with a clock of our own, and against servers that mind."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from visprep import wire
from visprep.errors import ServerFailed
from visprep.stores.memory import MemorySink
from visprep.testing import Mirror
from visprep.testing.serving import Handler, LocalServer
from visprep.wire import Patience, Request, Response, Window, send

QUICK = Patience(connect=5, stall=5, attempts=10, base=0.001, longest=0.01)


class World:
    """A server that needs `latency` seconds for an answer, gives `speed` of them a second, and refuses above `most`."""

    def __init__(self, latency: float, speed: float, most: float = float("inf"), **window: Any) -> None:
        self.now = 0.0
        self.latency, self.speed, self.most = latency, speed, most
        self.window = Window(clock=lambda: self.now, **window)
        self.refused = 0

    def answer(self, total: int) -> None:
        """Let so many requests be answered well, with as many in flight as the window allows."""
        flying: list[tuple[float, int, bool]] = []
        busy = self.now
        while total:
            while len(flying) < self.window.size:
                if sum(good for *_, good in flying) >= self.most:
                    heapq.heappush(flying, (self.now + self.latency, self.window.halved, False))
                else:
                    busy = max(busy, self.now) + 1 / self.speed
                    heapq.heappush(flying, (busy + self.latency, self.window.halved, True))
            self.window.full()
            self.now, halved, good = heapq.heappop(flying)
            if good:
                total -= 1
                self.window.ended()
            else:
                self.refused += 1
                self.window.slow_down(halved)


def test_it_grows_where_only_the_way_is_long() -> None:
    world = World(latency=0.03, speed=100_000)
    world.answer(4_000)
    assert world.window.size == 256


def test_it_stays_where_more_in_flight_would_only_wait() -> None:
    world = World(latency=0.0002, speed=5_000)
    for _ in range(20):
        world.answer(5_000)
        assert world.window.size <= 64
    world.answer(1_000)
    assert world.window.size == 32


def test_it_finds_the_middle() -> None:
    world = World(latency=0.03, speed=2_500)  # 75 in flight keep it busy
    world.answer(20_000)
    assert 64 <= world.window.size <= 128


def test_it_shrinks_when_asked_to_and_asks_for_more_but_rarely() -> None:
    world = World(latency=0.01, speed=100_000, most=20)
    world.answer(20_000)
    assert 5 <= world.window.size <= 25
    assert world.refused < 200


def test_a_server_that_takes_one_at_a_time() -> None:
    world = World(latency=0.01, speed=100_000, most=1)
    world.answer(2_000)
    assert world.window.size <= 3


def test_it_does_not_grow_when_nobody_wants_more() -> None:
    now = 0.0
    window = Window(clock=lambda: now)
    for _ in range(5_000):
        now += 0.01
        window.ended()
    assert window.size == 32


def test_refusals_of_what_was_asked_together_count_once() -> None:
    window = Window()
    for _ in range(10):
        window.slow_down(0)
    assert (window.size, window.halved) == (16, 1)


def test_a_fixed_one_never_changes() -> None:
    window = Window.fixed(3)
    window.slow_down(0)
    for _ in range(1_000):
        window.full()
        window.ended()
    assert (window.most, window.size) == (3, float("inf"))


def test_bytes_move_no_faster_than_the_bandwidth() -> None:
    now = 0.0
    window = Window(bandwidth=1_000, clock=lambda: now)
    for _ in range(100):
        window.moved(500)
        now += window.pause()
    assert now == pytest.approx(50, abs=0.1)


@pytest.mark.parametrize("wrong", [{"start": 0}, {"start": 9, "most": 8}, {"budget": 0}, {"bandwidth": 0}])
def test_windows_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="window"):
        Window(**wrong)


class Narrow(Handler):
    owner: Shop  # type: ignore[misc]

    def respond(self) -> None:
        shop = self.owner
        with shop.lock:
            shop.inside += 1
            shop.most = max(shop.most, shop.inside)
            refused = shop.inside > shop.room
            shop.refused += refused
        shop.closing.wait(0.002)
        with shop.lock:
            shop.inside -= 1
        self.answer(503, b"<Error><Code>SlowDown</Code></Error>") if refused else self.answer(200, b"ok")


class Shop(LocalServer):
    """Answers SlowDown to whoever comes while `room` others are being served."""

    handler = Narrow

    def __init__(self, room: int) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.room, self.inside, self.most, self.refused = room, 0, 0, 0


async def ask(url: str, sink: MemorySink | None = None) -> Response:
    return await send(Request(url, sink=sink, small=True))


def test_a_server_that_asks_to_slow_down_answers_all_in_the_end() -> None:
    with Shop(room=6) as shop:
        window = Window(start=32)
        jobs = ((number, ask(f"{shop.url}/{number}")) for number in range(600))
        outcomes = dict(wire.run(jobs, window, patience=QUICK))
        assert {outcome.body for outcome in outcomes.values() if isinstance(outcome, Response)} == {b"ok"}
        assert not [outcome for outcome in outcomes.values() if not isinstance(outcome, Response)]
        assert 0 < shop.refused < 300
        assert window.size < 32


def test_a_server_that_refuses_for_ever_ends_every_job() -> None:
    with Shop(room=0) as shop:
        jobs = ((number, ask(shop.url)) for number in range(50))
        outcomes = dict(wire.run(jobs, Window(), patience=Patience(attempts=2, base=0.001, longest=0.01)))
        assert len(outcomes) == 50
        assert not [outcome for outcome in outcomes.values() if isinstance(outcome, Response)]


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    (tmp_path / "data").write_bytes(b"x" * 50_000)
    with Mirror(tmp_path) as server:
        yield server


def test_jobs_in_memory_stay_within_the_budget_and_in_order(mirror: Mirror) -> None:
    weights = [10, 40, 100, 5, 500, 20, 1, 30, 90, 500, 500, 10, *[25] * 20]
    at_work: list[int] = []
    begun: list[int] = []

    async def work(number: int) -> None:
        together = [*at_work, weights[number]]
        light = [weight for weight in together if weight <= 100]
        assert sum(light) <= (100 if light == together else 25)
        assert len(together) - len(light) <= 1
        at_work.append(weights[number])
        begun.append(number)
        await ask(f"{mirror.url}/data", MemorySink())
        at_work.remove(weights[number])

    jobs = ((number, work(number)) for number in range(len(weights)))
    for _, outcome in wire.run(jobs, Window(budget=100), weigh=weights.__getitem__):
        assert outcome is None
    assert begun == list(range(len(weights)))


def test_a_job_that_waits_for_room_is_closed_when_nobody_listens_any_more(mirror: Mirror) -> None:
    jobs = [(number, ask(f"{mirror.url}/data", MemorySink())) for number in range(3)]
    outcomes = wire.run(jobs, Window(budget=2), weigh=lambda _: 1)
    next(outcomes)
    outcomes.close()
    for _, job in jobs:
        with pytest.raises(RuntimeError, match="cannot reuse"):
            job.send(None)


def test_everything_arrives_over_a_bandwidth_that_is_shared(mirror: Mirror) -> None:
    window = Window(bandwidth=2_000_000)
    sinks = [MemorySink() for _ in range(8)]
    jobs = ((number, ask(f"{mirror.url}/data", sink)) for number, sink in enumerate(sinks))
    assert len(list(wire.run(jobs, window))) == 8
    assert {sink.getvalue() for sink in sinks} == {b"x" * 50_000}
    assert window.pause() >= 0
    assert wire.wait(ask(f"{mirror.url}/data")).body == b"x" * 50_000


# Small bodies, which wire hands on in one piece


def test_a_small_body_that_breaks_goes_on_where_it_broke(mirror: Mirror) -> None:
    mirror.fault("data", cut=20_000)
    sink, told = MemorySink(), list[int]()
    ((_, outcome),) = wire.run([(0, ask(f"{mirror.url}/data", sink))], 1, told.append, QUICK)
    assert isinstance(outcome, Response)
    assert sink.getvalue() == b"x" * 50_000
    assert sum(told) == 50_000
    assert [request.range for request in mirror.requests] == [None, "bytes=20000-"]


class Endless(Handler):
    def respond(self) -> None:
        self.answer(200, b"x" * (5 * 1024 * 1024))


class Flood(LocalServer):
    handler = Endless


def test_a_small_body_that_is_not_small_is_not_taken_in() -> None:
    with Flood() as server, pytest.raises(ServerFailed, match="more than was asked for"):
        wire.wait(ask(server.url), QUICK)
