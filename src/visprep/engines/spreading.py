"""Spreading slices over workers that may die: what is alike for processes and for a cluster."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from visprep.engines.working import PAUSE, TRIES, Answer, Order
from visprep.errors import WorkerLost

A = TypeVar("A")
B = TypeVar("B")

#: Slices that are not taken yet, for each that may be under way: one that is slow holds up so many behind it.
_WINDOW = 4
#: Deaths of workers that had a single item, until it is the item's fault.
_DEATHS = 2
#: Deaths that are nobody's fault, a node's, until a slice is given up.
_MISHAPS = 8
#: Seconds after which the driver may do something else while it waits.
_TURN = 0.1


@dataclass(frozen=True, slots=True)
class Death:
    """A worker ended without an answer: how, in words, and whether the whole node went down with it."""

    how: str
    of_node: bool = False


class Crew(ABC):
    """Workers of which any may die, as an engine; `tries` and `pause` are those of work that misses the network."""

    spreads = True

    def __init__(self, *, tries: int = TRIES, pause: float = PAUSE) -> None:
        self._tries, self._pause = tries, pause

    def map(
        self,
        work: Callable[[Sequence[A]], Sequence[B]],
        slices: Iterable[Sequence[A]],
        *,
        lost: Callable[[A, WorkerLost], B],
        meanwhile: Callable[[], None] | None = None,
    ) -> Iterator[Sequence[B]]:
        """See `Engine`."""
        return _spread(self, Order.of(work, self._tries, self._pause), slices, lost, meanwhile)

    @abstractmethod
    def room(self) -> int:
        """How many slices may be under way now."""

    @abstractmethod
    def send(self, order: Order, items: Sequence[Any]) -> Hashable:
        """Give some items to a worker; what stands for them."""

    @abstractmethod
    def ended(self, sent: Mapping[Hashable, Any], seconds: float) -> Sequence[tuple[Hashable, Answer | Death]]:
        """Those of `sent` that have ended; none when none did for so many seconds."""

    @abstractmethod
    def forget(self, sent: Iterable[Hashable]) -> None:
        """Nobody will ask for these any more."""


@dataclass(slots=True)
class _Part:
    """Items that are sent together, and what became of them."""

    items: Sequence[Any]
    unit: _Unit
    answer: Answer | None = None
    deaths: int = 0
    mishaps: int = 0


@dataclass(slots=True)
class _Unit:
    """A slice: one part, or after it killed a worker one for each item."""

    parts: list[_Part] = field(default_factory=list)
    open: int = 1

    def results(self) -> Sequence[Any]:
        """Those of its parts; the first error is raised."""
        if len(self.parts) == 1:
            (part,) = self.parts
            assert part.answer is not None
            return part.answer.taken()
        return [one for part in self.parts if part.answer is not None for one in part.answer.taken()]


def _spread(
    crew: Crew,
    order: Order,
    slices: Iterable[Sequence[Any]],
    lost: Callable[[Any, WorkerLost], Any],
    meanwhile: Callable[[], None] | None,
) -> Iterator[Sequence[Any]]:
    """The results of every slice in their order; see `Engine.map`."""
    drawn = iter(slices)
    first = next(drawn, None)
    if first is None:  # which takes no workers
        return
    rest: Iterator[Sequence[Any]] | None = itertools.chain([first], drawn)
    units: deque[_Unit] = deque()
    todo: deque[_Part] = deque()
    sent: dict[Hashable, _Part] = {}
    try:
        while True:
            room = crew.room()
            while len(sent) < room:
                if not todo and rest is not None and len(units) < _WINDOW * room:
                    items = next(rest, None)
                    if items is None:
                        rest = None
                    else:
                        units.append(unit := _Unit())
                        unit.parts.append(_Part(items, unit))
                        todo.append(unit.parts[0])
                if not todo:
                    break
                part = todo.popleft()
                sent[crew.send(order, part.items)] = part
            if units and not units[0].open:
                yield units.popleft().results()
            elif not units and rest is None:
                return
            else:
                ended = crew.ended(sent, _TURN)
                for key, outcome in ended:
                    _settle(sent.pop(key), outcome, todo, lost)
                if not ended and meanwhile:
                    meanwhile()
    finally:
        crew.forget(sent)


def _settle(part: _Part, outcome: Answer | Death, todo: deque[_Part], lost: Callable[[Any, WorkerLost], Any]) -> None:
    """Take an answer; after a death, send the same again, or each item by itself, or give up the one that kills."""
    if isinstance(outcome, Answer):
        part.answer = outcome
        part.unit.open -= 1
    elif outcome.of_node:
        part.mishaps += 1
        if part.mishaps < _MISHAPS:
            todo.appendleft(part)
        else:
            part.answer = Answer(
                error=WorkerLost(
                    f"{part.mishaps} nodes were lost while they worked on the same {len(part.items)} items",
                    hint="see to the nodes; then run the same command again: it goes on where this one ended",
                )
            )
            part.unit.open -= 1
    elif len(part.items) > 1:
        unit = part.unit
        unit.parts = [_Part([item], unit) for item in part.items]
        unit.open = len(unit.parts)
        todo.extendleft(reversed(unit.parts))
    else:
        part.deaths += 1
        if part.deaths < _DEATHS:
            todo.appendleft(part)
        else:
            error = WorkerLost(
                f"the worker process died of it: {outcome.how}",
                hint="look at that file, and at the memory of the machine; all else is done",
            )
            part.answer = Answer([lost(item, error) for item in part.items])
            part.unit.open -= 1
